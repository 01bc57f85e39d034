"""The product behind PgBouncer in transaction mode, where no session belongs to anybody: what it
does is the same. LISTEN alone needs the database's own address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from tests.support.documents import doc
from tests.support.pgbouncer import PgBouncer, why_absent
from tests.support.stack import Stack

pytestmark = pytest.mark.slow


@pytest.fixture
def stack(tmp_path: Path, postgres_url: str, database_url: str, broker_url: str) -> Iterator[Stack]:
    """API, two workers and a beat; all that they say to Postgres goes through the pooler."""
    reason = why_absent()
    if reason is not None:
        pytest.skip(reason)
    with PgBouncer(tmp_path, postgres_url) as bouncer:
        pooled = bouncer.url(database_url)
        settings = {"database_direct_url": database_url, "lease": 2, "republish_after": 2}
        with Stack(tmp_path, pooled, broker_url, **settings) as running:
            running.api()
            running.beat()
            for name in ("one", "two"):
                running.worker(name, concurrency=4)
            yield running
            assert bouncer.pools()[urlsplit(database_url).path[1:]] == "transaction"


def add(name: str, **more: object) -> dict[str, object]:
    """A step that adds."""
    return {name: {"call": "steps.add", "with": {"a": 1, "b": 2}, **more}}


def test_steps_forks_timers_and_undoing(stack: Stack) -> None:
    branches = [add(f"branch{n}") for n in range(20)]
    wide = doc(
        add("first"),
        {"pause": {"wait": {"milliseconds": 50}}},
        {"all": {"fork": {"branches": branches}}},
        about={"name": "wide"},
    )
    started = stack.deploy(wide)
    # Answers to keyed requests are given under an advisory lock.
    for instance in [stack.start(started) for _ in range(5)]:
        assert stack.wait(instance)["output"] == [{"sum": 3}] * 20
    body = {**started, "business_id": "b-1"}
    for _ in range(2):
        answer = stack.client.post("/v1/instances", json=body, headers={"Idempotency-Key": "k"})
        assert answer.status_code == 202, answer.text
    undoing = {"compensate": {"call": "steps.effect", "with": {"name": "undone"}}}
    fails = doc(
        {"pay": {"call": "steps.effect", "with": {"name": "paid"}, "metadata": undoing}},
        {"ship": {"call": "steps.fail", "with": {}}},
        about={"name": "fails"},
    )
    assert stack.run(fails)["status"] == "faulted"
    stack.until(
        lambda: [row[0] for row in _ledger(stack)] == ["paid", "undone"], "the payment is undone"
    )


def _ledger(stack: Stack) -> list[tuple[str]]:
    connection = psycopg2.connect(str(stack.settings["database_direct_url"]))
    try:
        with connection.cursor() as cursor:
            cursor.execute("select effect from public.ledger order by ctid")
            return cursor.fetchall()
    finally:
        connection.close()


def test_events_find_their_listener(stack: Stack) -> None:
    listen = {"to": {"one": {"with": {"type": "shop.paid"}}}}
    waiting = stack.start(stack.deploy(doc({"payment": {"listen": listen}})))
    event = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/shop",
        "type": "shop.paid",
        "data": {"amount": 7},
    }
    answer = stack.client.post(
        "/v1/events?namespace=test",
        json=event,
        headers={"Content-Type": "application/cloudevents+json"},
    )
    assert answer.status_code == 202, answer.text
    assert stack.wait(waiting)["output"] == [{"amount": 7}]


def test_a_killed_worker_s_steps_go_on(stack: Stack) -> None:
    started = stack.deploy(doc(*(add(f"step{n}") for n in range(30)), about={"name": "long"}))
    running = [stack.start(started) for _ in range(10)]
    claimed = "select 1 from orchestrator.attempts where state = 'claimed' limit 1"
    stack.until(lambda: bool(stack.sql(claimed)), "something runs")
    stack.supervisor.processes["one"].kill()
    for instance in running:
        assert stack.wait(instance, 90)["status"] == "completed"
    (doubled,) = stack.sql(
        "select count(*) from (select 1 from orchestrator.attempts where state = 'succeeded'"
        " group by instance_id, step having count(*) > 1) d"
    )
    assert doubled == (0,)
