"""``/metrics``, ``/livez`` and ``/readyz`` of the API, of real workers and of beats."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import psycopg2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.ids import new_id
from tests.support.api import Api, document, problem
from tests.support.documents import doc
from tests.support.stack import Stack, free_port

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    """Every sample, by its name and labels; the text must be what Prometheus reads."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of that name that have these labels."""
    wanted = set(labels.items())
    return sum(v for (n, found), v in samples.items() if n == name and wanted <= found)


def step(name: str, task: str, **more: Any) -> dict[str, Any]:
    """A step that calls a task of tests/apps/steps."""
    return {name: {"call": task, "with": {"a": 1, "b": 2}, **more}}


def scraped(url: str) -> Samples:
    """What a scraper reads there."""
    answer = httpx2.get(url, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return parsed(answer.text)


def test_the_api_tells_of_instances_and_requests(api: Api) -> None:
    api.deploy(document("gauged"))
    api.start("gauged")
    api.start("gauged")
    api.get(f"/v1/instances/{new_id()}")
    found = parsed(api("GET", "/metrics").text)
    labels = {"namespace": "shop", "workflow": "gauged", "status": "pending"}
    assert value(found, "orchestrator_instances", **labels) == 2
    assert value(found, "orchestrator_inbox_depth") == 2
    assert value(found, "orchestrator_database_up") == 1
    requests = "orchestrator_http_requests_total"
    assert value(found, requests, method="POST", route="/v1/instances", status="202") >= 2
    assert value(found, requests, route="/v1/instances/<id:id>", status="404") >= 1
    # Neither an instance's id nor a path that somebody made up becomes a series.
    api("GET", "/made/up")
    again = parsed(api("GET", "/metrics").text)
    assert value(again, requests, route="none", status="404") >= 1
    assert not any("/made/up" in text for _, found in again for _, text in found)


def test_metrics_need_a_key_unless_opened(database_url: str) -> None:
    closed = Api.on(database_url, "redis://127.0.0.1:1/0", authenticate=True)
    opened = Api.on(
        database_url, "redis://127.0.0.1:1/0", authenticate=True, metrics_without_key=True
    )
    try:
        assert problem(closed("GET", "/metrics")) == "unauthenticated"
        assert parsed(opened("GET", "/metrics").text)
    finally:
        closed.close()
        opened.close()


def test_open_instances_are_found_whatever_has_ended(database_url: str) -> None:
    from orchestrator.database.operations import gauge_queries

    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("set enable_seqscan = off")
        for statement, _, _ in gauge_queries._QUERIES[:2]:
            cursor.execute("explain " + statement)
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "instances_open_ix" in plan or "instances_compensating_ix" in plan, plan
    connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_and_a_beat_are_scraped(
    pool: str, tmp_path: Path, database_url: str, broker_url: str
) -> None:
    worker_port, beat_port = free_port(), free_port()
    with Stack(tmp_path, database_url, broker_url, lease=60) as stack:
        stack.api()
        beat = stack.beat(env={"ORCHESTRATOR_PROBE_ADDRESS": f"127.0.0.1:{beat_port}"})
        worker = stack.worker(
            pool=pool,
            env={"ORCHESTRATOR_PROBE_ADDRESS": f"127.0.0.1:{worker_port}"},
            arguments=("--max-tasks-per-child", "3") if pool == "prefork" else (),
        )
        url = f"http://127.0.0.1:{worker_port}"
        for probe in ("/livez", "/readyz"):
            assert httpx2.get(url + probe).status_code == 200
            assert httpx2.get(f"http://127.0.0.1:{beat_port}{probe}").status_code == 200
        assert httpx2.get(url + "/else").status_code == 404

        pause = {"pause": {"wait": {"milliseconds": 10}}}
        sums = doc(step("one", "steps.add"), pause, step("two", "steps.add"))
        undoing = {"compensate": {"call": "steps.add", "with": {"a": 0, "b": 0}}}
        fails = doc(
            step("pay", "steps.add", metadata=undoing),
            {"ship": {"call": "steps.fail"}},
            about={"name": "fails"},
        )
        started = stack.deploy(sums)
        for instance in [stack.start(started) for _ in range(10)]:
            assert stack.wait(instance)["status"] == "completed"
        assert stack.run(fails)["status"] == "faulted"
        stack.until(
            lambda: value(scraped(f"{url}/metrics"), "orchestrator_compensations_ended_total") == 1,
            "the compensation has been counted",
        )

        # Ten workflows in children that each take three tasks and are replaced: none is lost.
        found = scraped(f"{url}/metrics")
        of = {"namespace": "test", "workflow": "flow"}
        assert value(found, "orchestrator_instances_started_total", **of) == 10
        assert value(found, "orchestrator_instances_ended_total", **of, status="completed") == 10
        assert value(found, "orchestrator_steps_ended_total", **of, status="completed") == 30
        assert value(found, "orchestrator_instance_duration_seconds_count", **of) == 10
        attempts = "orchestrator_attempts_ended_total"
        assert value(found, attempts, task="steps.add", state="succeeded") == 22
        assert value(found, attempts, task="steps.fail", state="failed") == 1
        assert value(found, "orchestrator_dispatch_duration_seconds_count") == 23
        assert value(found, "orchestrator_attempt_duration_seconds_count") == 23
        assert value(found, "orchestrator_steps_compensated_total") == 1
        assert value(found, "orchestrator_transition_duration_seconds_count", source="inbox") >= 20
        assert value(found, "orchestrator_messages_and_results_refused_total") == 0
        assert not any("instance" in dict(labels) for _, labels in found)

        late = scraped(f"http://127.0.0.1:{beat_port}/metrics")
        assert value(late, "orchestrator_timer_lateness_seconds_count") == 10
        assert (
            value(
                late,
                "orchestrator_maintenance_job_duration_seconds_count",
                maintenance_job="timers",
            )
            > 0
        )

        whole = scraped(f"{stack.settings['api_url']}/metrics")
        assert value(whole, "orchestrator_queue_slots", queue="celery") == 2
        assert value(whole, "orchestrator_queue_depth", queue="celery") == 0
        assert value(whole, "orchestrator_workers", state="live") == 1

        beat.stop()
        os.kill(worker.pid, signal.SIGTERM)
        assert worker.wait(60) == 0
        left = {path.name for path in Path("/dev/shm").glob("*orchestrator*")}
        # The tests' own database servers have their data there.
        assert not {name for name in left if not name.startswith("orchestrator-test-")}


@pytest.mark.slow
def test_the_oldest_unclaimed_attempt_is_what_to_scale_on(
    tmp_path: Path, database_url: str, broker_url: str
) -> None:
    with Stack(tmp_path, database_url, broker_url) as stack:
        stack.api()
        stack.worker(queues="orchestrator")  # control only: nobody serves the steps' queue
        stack.start(stack.deploy(doc(step("one", "steps.add"))))
        url = f"{stack.settings['api_url']}/metrics"
        stack.until(
            lambda: value(scraped(url), "orchestrator_queue_depth", queue="celery") == 1,
            "the attempt waits",
        )
        age = "orchestrator_queue_oldest_attempt_seconds"
        first = value(scraped(url), age, queue="celery")
        stack.until(lambda: value(scraped(url), age, queue="celery") > first, "it grows older")
        assert value(scraped(url), "orchestrator_queue_workers", queue="celery") == 0


@pytest.mark.slow
def test_every_serving_process_of_an_api_shows_what_all_have_counted(
    tmp_path: Path, database_url: str, broker_url: str
) -> None:
    with Stack(tmp_path, database_url, broker_url) as stack:
        stack.api(WEB_CONCURRENCY=3)
        url = stack.settings["api_url"]
        for _ in range(30):  # each on a connection of its own, that any process may take
            assert httpx2.get(f"{url}/v1/workflows").status_code == 200
        for _ in range(6):
            found = scraped(f"{url}/metrics")
            assert value(found, "orchestrator_http_requests_total", route="/v1/workflows") == 30
