"""Amazon SQS as the broker, on moto's server, in an environment of its own (uv; network).

Messages are hints: one that SQS delivers twice, or again after its visibility timeout, changes
nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.embedded.supervisor import Supervisor, port_open
from orchestrator.ids import new_id
from tests.support.environments import kill_tree, make_environment
from tests.support.stack import ROOT, Stack, free_port
from tests.support.zoo import Zoo, zoo_on

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

AWS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PREFIX = "prod-"
#: A very short visibility timeout: SQS delivers again what a busy worker holds.
TRANSPORT = {
    "region": "eu-west-1",
    "queue_name_prefix": PREFIX,
    "visibility_timeout": 2,
    "wait_time_seconds": 1,
    "polling_interval": 0.1,
}


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment with moto, boto3 and the libraries of our processes."""
    wanted = ("celery[sqs,redis]", "moto[sqs]", "flask-cors", "packaging")
    try:
        made = make_environment(
            tmp_path_factory.mktemp("sqs") / "environment", f"-e {ROOT}[server,binary]", *wanted
        )
    except AssertionError as error:
        pytest.skip(f"no environment with moto can be made here: {str(error)[-300:]}")
    return str(made)


@pytest.fixture
def sqs(python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty SQS."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ZOO_TRANSPORT", json.dumps(TRANSPORT))  # of the app: worker and beat
    monkeypatch.setattr(Stack, "python", python)
    port, supervisor = free_port(), Supervisor()
    supervisor.spawn(
        "moto",
        [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        log=tmp_path / "moto.log",
        ready=port_open(port),
        timeout=60,
        tier=0,
    )
    yield f"sqs://127.0.0.1:{port}"
    supervisor.stop()


@contextmanager
def zoo_at(request: pytest.FixtureRequest, sqs: str, **settings: Any) -> Iterator[Zoo]:
    folder, database, seen = map(
        request.getfixturevalue, ("tmp_path", "database_url", "broker_url")
    )
    chosen = {"republish_after": 30, "continuation_budget": 0, **settings}
    with zoo_on(folder, database, sqs, seen, **chosen) as zoo:
        zoo.seen_in_redis.delete("zoo")
        yield zoo


def ask(python: str, sqs: str, program: str) -> Any:
    """Run a program with a boto3 client `sqs`; return what it leaves in `answer`."""
    endpoint = sqs.replace("sqs://", "http://")
    script = (
        f"import json, boto3; sqs = boto3.client('sqs', endpoint_url={endpoint!r})\n{program}\n"
        "print(json.dumps(answer))"
    )
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def queues(python: str, sqs: str) -> list[str]:
    urls = "answer = sqs.list_queues().get('QueueUrls', [])"
    return sorted(url.rpartition("/")[2] for url in ask(python, sqs, urls))


def log_of(zoo: Zoo, process: str) -> str:
    return (zoo.stack.folder / f"{process}.log").read_text()


def test_steps_run_and_queues_have_the_apps_prefix(
    request: pytest.FixtureRequest, python: str, sqs: str
) -> None:
    """The API and the beat follow the worker's announcement. A dot is a hyphen in SQS."""
    with zoo_at(request, sqs) as zoo:
        zoo.worker(concurrency=2)
        ended = zoo.run_all([("note", {"a": n}) for n in range(5)])
        assert ended["status"] == "completed", (ended["error"], zoo.stack.logs())
        assert [note["a"] for note in zoo.seen("note")] == list(range(5))
        expected = {f"{PREFIX}{name}" for name in ("celery", "celery-orchestrator", "orchestrator")}
        assert expected <= set(queues(python, sqs))
        assert "Traceback" not in log_of(zoo, "worker")
        published = "select distinct state, publish_count from orchestrator.attempts"
        assert zoo.stack.sql(published) == [("succeeded", 1)]


def test_a_message_that_comes_twice_runs_once(
    request: pytest.FixtureRequest, python: str, sqs: str
) -> None:
    with zoo_at(request, sqs) as zoo:
        zoo.worker("worker-control", queues="orchestrator", concurrency=1)
        key = new_id()
        instance = zoo.start("note", a=key)
        companion = f"{sqs.replace('sqs://', 'http://')}/123456789012/{PREFIX}celery-orchestrator"
        copied = (
            f"got = sqs.receive_message(QueueUrl={companion!r}, VisibilityTimeout=0,"
            " WaitTimeSeconds=1).get('Messages', [])\n"
            "for each in got:\n"
            "    for _ in range(9):\n"
            f"        sqs.send_message(QueueUrl={companion!r}, MessageBody=each['Body'])\n"
            "answer = len(got)"
        )
        zoo.stack.until(
            lambda: (
                f"{PREFIX}celery-orchestrator" in queues(python, sqs)
                and ask(python, sqs, copied) == 1
            ),
            "the step's message is there, and copied nine times",
        )
        zoo.worker("worker-steps", concurrency=2)
        assert zoo.stack.wait(instance)["status"] == "completed"
        left = (
            f"answer = sqs.get_queue_attributes(QueueUrl={companion!r},"
            " AttributeNames=['All'])['Attributes']"
        )

        def is_empty() -> bool:
            attributes = ask(python, sqs, left)
            names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
            return all(attributes[name] == "0" for name in names)

        zoo.stack.until(is_empty, "every copy is acknowledged")
        assert [note["a"] for note in zoo.seen("note")] == [key]


def test_a_step_longer_than_the_visibility_timeout_runs_once(
    request: pytest.FixtureRequest, sqs: str
) -> None:
    """Its message is acknowledged when a process takes it. Those behind it come again."""
    with zoo_at(request, sqs) as zoo:
        zoo.worker(concurrency=1)
        zoo.worker("worker-control", queues="orchestrator", concurrency=1)
        key = new_id()
        first = zoo.start("sleeps", seconds=6, key=key)
        zoo.stack.until(lambda: len(zoo.seen("sleeping")) == 1, "the task runs")
        head = {"dsl": "1.0.3", "namespace": "zoo", "name": f"n{new_id()}", "version": "1.0.0"}
        step = {"s": {"call": "zoo.note", "with": {"a": "${ $workflow.input.n }"}}}
        body = zoo.stack.deploy({"document": head, "do": [step]})
        others = [zoo.stack.start(body, input={"n": n}) for n in range(3)]
        assert zoo.stack.wait(first)["output"] == {"count": 1}
        for each in others:
            assert zoo.stack.wait(each)["status"] == "completed"
        assert sorted(note["a"] for note in zoo.seen("note")) == [0, 1, 2]


def test_a_killed_workers_steps_run_again(request: pytest.FixtureRequest, sqs: str) -> None:
    with zoo_at(request, sqs, lease=3) as zoo:
        process = zoo.worker(concurrency=1)
        instance = zoo.start("sleeps", seconds=20, again=0, key=new_id())
        zoo.stack.until(lambda: len(zoo.seen("sleeping")) == 1, "the task runs")
        kill_tree(process)
        zoo.worker("worker2", concurrency=1)
        assert zoo.stack.wait(instance, 90)["output"] == {"count": 2}


def test_a_fifo_queue_is_refused(request: pytest.FixtureRequest, python: str, sqs: str) -> None:
    """As a users' queue it goes on without steps; as one of ours, the process says so and ends."""
    with zoo_at(request, sqs) as zoo:
        zoo.worker("worker-fifo", queues="shop.fifo,orchestrator", concurrency=1)
        zoo.stack.until(
            lambda: "action=companion_refused" in log_of(zoo, "worker-fifo"), "it says so"
        )
        assert "shop.fifo" in log_of(zoo, "worker-fifo")
        assert "it belongs to a FIFO queue of SQS" in log_of(zoo, "worker-fifo")
        refused = zoo.stack.sql("select refused_queues from orchestrator.workers")[0][0]
        assert list(refused) == ["shop.fifo"]
        done = subprocess.run(
            [python, "-m", "orchestrator.cli", "worker", "-c", "1"],
            env=zoo.stack.environment(ORCHESTRATOR_DEFAULT_QUEUE="steps.fifo"),
            cwd=zoo.stack.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 2
        assert "the queue steps.fifo is a FIFO queue of SQS" in done.stderr
        assert "Traceback" not in done.stderr


def test_without_boto3_one_line_says_what_to_install(database_url: str, tmp_path: Path) -> None:
    stack = Stack(tmp_path, database_url, "sqs://")
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "worker", "-c", "1"],
        env=stack.environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "sqs:// needs boto3: install celery[sqs]" in done.stderr
    assert "Traceback" not in done.stderr
