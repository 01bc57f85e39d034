"""The command line against a running product: what it prints where, and how it exits."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

ORDER = str(Path(__file__).resolve().parents[2] / "examples" / "shop" / "order.yaml")

HELLO = """\
document: { dsl: '1.0.3', namespace: test, name: hello, version: '1.0.0' }
do:
  - greet:
      set: { greeting: '${ "Hello " + .name }' }
"""
FAILING = """\
document: { dsl: '1.0.3', namespace: test, name: failing, version: '1.0.0' }
do:
  - fail:
      raise:
        error: { type: 'https://example.org/errors/no', status: 418, title: No, detail: never }
"""
PATIENT = """\
document: { dsl: '1.0.3', namespace: test, name: patient, version: '1.0.0' }
do:
  - sleep:
      wait: { hours: 1 }
"""
WRONG = """\
document: { dsl: '1.0.3', namespace: test, name: wrong, version: '1.0.0' }
do:
  - greet:
      cal: shop.tasks.refund
"""


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str, name: str = "workflow.yaml") -> str:
        (tmp_path / name).write_text(text)
        return name

    return write


def order(card: str) -> str:
    return json.dumps({"id": uuid.uuid4().hex, "item": "desk", "quantity": 1, "card": card})


def test_a_run_prints_its_output_on_stdout_and_its_steps_on_stderr(cli, file):
    done = cli("run", file(HELLO), "-i", '{"name": "Ada"}')
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"greeting": "Hello Ada"}
    assert "greet" in done.stderr
    assert "\x1b[" not in done.stdout + done.stderr


def test_a_saga_over_celery_tasks_completes(cli):
    done = cli("run", ORDER, "-i", order("gold"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accepted"] is True


def test_a_saga_that_faults_is_undone_and_exits_8(cli):
    done = cli("run", ORDER, "-i", order("nearly-empty"))
    assert done.returncode == 8, done.stderr
    assert done.stdout == ""
    assert "chargeBalance" in done.stderr
    assert "CardDeclined" in done.stderr


def test_a_fault_without_compensation_exits_1_and_names_the_error(cli, file):
    done = cli("run", file(FAILING))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "No (418) · never · /do/0/fail" in done.stderr


def test_a_wait_that_is_over_exits_6_and_the_instance_goes_on(cli, file):
    done = cli("run", file(PATIENT), "--wait", "0.5")
    assert done.returncode == 6, done.stderr
    id = done.stderr.split()[2]
    assert json.loads(cli("show", id, "--output", "json").stdout)["status"] == "waiting"

    assert cli("cancel", id, "--reason", "enough").returncode == 0
    watched = cli("watch", id)
    assert watched.returncode == 7, watched.stderr


def test_a_start_prints_the_id_only(cli, file):
    done = cli("start", file(HELLO), "-i", '{"name": "Ada"}', "--label", "who=ada")
    assert done.returncode == 0, done.stderr
    id = done.stdout.strip()
    assert str(uuid.UUID(id)) == id
    assert cli("watch", id).returncode == 0

    listed = cli("list", "--label", "who=ada", "--output", "jsonl")
    assert id in [json.loads(line)["id"] for line in listed.stdout.splitlines()]
    assert id in cli("list", "--workflow", "test/hello").stdout  # never cut
    assert (
        cli("list", "--status", "faulted", "--workflow", "test/hello", "-o", "json").stdout
        == "[]\n"
    )


@pytest.mark.slow
def test_show_and_history_tell_what_happened(cli, file):
    id = cli("start", file(HELLO), "-i", '{"name": "Ada"}').stdout.strip()
    cli("watch", id)
    shown = cli("show", id)
    assert id in shown.stdout
    assert "greet" in shown.stdout
    assert "Hello Ada" in shown.stdout

    entries = json.loads(cli("history", id, "-o", "json").stdout)
    facts = [fact["type"] for entry in entries for fact in entry["facts"]]
    assert facts[0] == "workflow.started"
    assert facts[-1] == "workflow.completed"
    assert "workflow.completed" in cli("history", id).stdout


@pytest.mark.slow
def test_the_same_key_starts_once(cli, file):
    name = file(HELLO)
    key = uuid.uuid4().hex
    ids = {cli("start", name, "-i", '{"name": "A"}', "--idempotency-key", key).stdout for _ in "ab"}
    assert len(ids) == 1


@pytest.mark.slow
def test_deploying_again_changes_nothing_and_another_body_is_refused(cli, file):
    text = HELLO.replace("hello", f"hello-{uuid.uuid4().hex[:8]}")
    name = file(text)
    assert "valid" in cli("deploy", name, "--dry-run", "-o", "json").stdout
    assert "deployed" in cli("deploy", name).stdout
    assert "unchanged" in cli("deploy", name).stdout

    file(text.replace("Hello", "Goodbye"))
    dry = cli("deploy", name, "--dry-run")
    assert "-      set: { greeting: '${ \"Hello \" + .name }' }" in dry.stdout
    assert "+      set: { greeting: '${ \"Goodbye \" + .name }' }" in dry.stdout
    refused = cli("deploy", name)
    assert refused.returncode == 2
    assert refused.stdout == ""


def test_an_error_in_a_document_has_its_line_and_column(cli, file):
    name = file(WRONG)
    checked = cli("validate", name)
    assert checked.returncode == 2
    assert checked.stdout.startswith(f"{name}:4:7: ")
    assert "'call'" in checked.stdout  # the near miss

    refused = cli("deploy", name)
    assert refused.returncode == 2
    assert f"{name}:4:7: " in refused.stderr


def test_a_valid_document_needs_no_server(cli, file):
    done = cli("validate", file(HELLO), ORCHESTRATOR_API_URL="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["run", "test/nowhere"], 3),
        (["show", str(uuid.UUID(int=0))], 3),
        (["show", "not-an-id"], 3),  # it may be a business_id
        (["show", ""], 2),
        (["show", "../workflows"], 3),
        (["validate", "missing.yaml"], 2),
        (["run", "test/hello", "-i", "{"], 2),
        (["nonsense"], 2),
        (["--url", "http://127.0.0.1:9", "list"], 5),
    ],
)
def test_what_cannot_be_done_exits_with_its_status_and_says_why(cli, arguments, status):
    done = cli(*arguments)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_completed_order_can_be_shown_as_a_flowchart_and_undone(cli):
    done = cli("run", ORDER, "-i", order("gold"))
    id = done.stderr.split()[2]
    assert "completed" in cli("graph", id).stdout

    plan = json.loads(cli("compensate", id, "--dry-run", "-o", "json").stdout)
    assert [step["name"] for step in plan] == ["chargeBalance", "chargeDeposit", "reserveStock"]
    assert cli("compensate", id, "--reason", "changed their mind").returncode == 0
    cli("watch", id)
    shown = json.loads(cli("show", id, "-o", "json").stdout)
    assert (shown["status"], shown["compensation"]) == ("completed", "completed")


@pytest.mark.slow
def test_a_faulted_instance_is_tried_again_in_a_new_run(cli, file):
    id = cli("run", file(FAILING)).stderr.split()[2]
    assert cli("retry", id, "--from", "fail").returncode == 0
    assert cli("watch", id).returncode == 1
    assert json.loads(cli("show", id, "-o", "json").stdout)["run"] == 2
    assert cli("resume", id).returncode == 2  # it is not suspended


def test_the_api_describes_itself(cli):
    assert json.loads(cli("openapi").stdout)["openapi"].startswith("3.1")


def test_why_says_what_is_waited_for_and_what_to_do(cli, file):
    listening = file(
        """\
document: { dsl: '1.0.3', namespace: test, name: listening, version: '1.0.0' }
do:
  - paid: { listen: { to: { one: { with: { type: shop.paid } } } } }
"""
    )
    id = cli("start", listening).stdout.strip()
    cli("run", "test/listening", "--wait", "0")
    answer = cli("why", id)
    assert answer.returncode == 0, answer.stderr
    assert id in answer.stdout
    assert "(event)" in cli("why", id).stdout or "(inbox)" in answer.stdout
    found = json.loads(cli("why", id, "-o", "json").stdout)
    assert found["causes"][0]["message"]
    cli("terminate", id)


@pytest.mark.slow
def test_the_shell_completes_names_that_the_api_has(cli, file):
    id = cli("start", file(PATIENT)).stdout.strip()

    def completed(*words: str) -> str:
        asked = {"_ORCHESTRATOR_COMPLETE": "bash_complete", "COMP_CWORD": str(len(words))}
        return str(cli(**asked, COMP_WORDS=" ".join(["orchestrator", *words])).stdout)

    assert f"plain,{id}" in completed("show", id[:9]).split()
    assert "plain,test/patient" in completed("run", "test/pa").split()
    assert "plain,why" in completed("wh").split()
    cli("terminate", id)
