"""What a stop does to a task that runs: a cancel while a charge is on its way, also where its
worker is killed, and a step that hangs and ignores every signal. By the ledger of effects."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.embedded.supervisor import Process
from tests.support.stack import Stack

APP = "tests.celery_apps.ledger"
#: Short, because a killed worker is known to be gone only after it.
LEASE = 5

#: What the tasks of the app write and read.
TABLES = """
create table public.ledger (
  id bigint generated always as identity primary key, effect text, booked text, key text unique);
create table public.may_end (booked text primary key);
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str, module_broker_url: str
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("flight")
    with Stack(folder, module_database_url, module_broker_url, lease=LEASE) as stack:
        stack.sql(TABLES)
        stack.api()
        stack.beat(app=APP)
        # Commands have a worker of their own, as in production: the other's slot is taken.
        worker_on(stack, "control", queues="orchestrator")
        yield stack


def worker_on(stack: Stack, name: str, **options: Any) -> Process:
    """A worker with one slot; a busy machine gives it its time to start."""
    quick = ("--without-mingle", "--without-gossip")
    return stack.worker(name, APP, concurrency=1, arguments=quick, timeout=100, **options)


@pytest.fixture
def worker(stack: Stack) -> Iterator[Process]:
    """A worker with one slot, started again by its supervisor when it is killed."""
    started = worker_on(stack, "worker", queues="celery", restart=True)
    yield started
    started.stop(grace=1)


def document(name: str, **compensate: Any) -> dict[str, Any]:
    undo = {"call": "ledger.refund", "with": {"order": "${ $input.order }"}, **compensate}
    undo["with"] = {**undo["with"], "charge": "${ $output.charge }"}
    charge = {
        "call": "ledger.charge",
        "with": {"order": "${ .order }"},
        "metadata": {"compensate": undo},
    }
    head = {"dsl": "1.0.3", "namespace": "test", "name": name, "version": "1.0.0"}
    return {"document": head, "do": [{"charge": charge}, {"after": {"call": "ledger.plain"}}]}


def ledger(stack: Stack, order: str) -> list[str]:
    """What was done for an order, in its sequence."""
    rows = stack.sql("select effect from public.ledger where booked = %s order by id", order)
    return [effect for (effect,) in rows]


def shown(stack: Stack, path: str) -> Any:
    answer = stack.client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def steps(stack: Stack, id: str) -> dict[str, dict[str, Any]]:
    """The steps by the names of their tasks."""
    return {
        one["reference"].rsplit("/", 1)[-1]: one
        for one in shown(stack, f"/v1/instances/{id}/steps")["items"]
    }


def cancelled_in_flight(stack: Stack, document: dict[str, Any], order: str) -> tuple[str, Any]:
    """An instance that was cancelled while its charge runs, and the attempt that runs."""
    id = stack.start(stack.deploy(document), input={"order": order})
    stack.until(lambda: ledger(stack, order) == ["charge"], "the charge is booked")
    answer = stack.client.post(f"/v1/instances/{id}/cancel", json={"reason": "changed my mind"})
    assert answer.status_code == 202, answer.text
    stack.until(lambda: steps(stack, id)["charge"]["attempts"][0]["withdrawn"], "it is cancelled")
    instance = shown(stack, f"/v1/instances/{id}")
    # It is cancelled, and what runs is waited for: nothing is refunded before.
    assert (instance["status"], instance["compensation"]) == ("cancelled", "running")
    assert ledger(stack, order) == ["charge"]
    return id, steps(stack, id)["charge"]["attempts"][0]


def settled(stack: Stack, id: str) -> dict[str, Any]:
    """The instance once its compensation is over."""
    path = f"/v1/instances/{id}"
    stack.until(lambda: shown(stack, path)["compensation"] != "running", "it is compensated")
    found: dict[str, Any] = shown(stack, path)
    return found


def test_a_cancel_while_a_charge_runs(stack: Stack, worker: Process) -> None:
    id, _ = cancelled_in_flight(stack, document("ends"), "o-1")
    stack.sql("insert into public.may_end values ('o-1')")
    instance = settled(stack, id)
    assert (instance["status"], instance["compensation"]) == ("cancelled", "completed")
    assert ledger(stack, "o-1") == ["charge", "refund"]
    charge, undo = steps(stack, id)["charge"], steps(stack, id)["compensate"]
    assert (charge["status"], charge["outcome"]) == ("completed", None)
    assert [one["state"] for one in charge["attempts"]] == ["succeeded"]
    # The late result is recorded, and the refund knew it.
    assert charge["output"] == {"charge": "charge-of-o-1"}
    assert undo["output"] == {"refunded": "charge-of-o-1"}
    assert undo["compensates"] == charge["id"]
    assert set(steps(stack, id)) == {"charge", "compensate"}


@pytest.mark.parametrize("on_unknown", [False, True])
@pytest.mark.parametrize("whom", ["child", "main"])
def test_a_cancel_while_a_charge_runs_whose_worker_is_killed(
    stack: Stack, worker: Process, whom: str, on_unknown: bool
) -> None:
    order = f"o-{whom}-{on_unknown}"
    made = document(f"killed-{whom}-{on_unknown}".lower(), onUnknown=on_unknown)
    id, attempt = cancelled_in_flight(stack, made, order)
    child, pid = attempt["process"], worker.pid
    assert child and pid
    os.kill(pid if whom == "main" else child, signal.SIGKILL)
    instance = settled(stack, id)
    charge = steps(stack, id)["charge"]
    assert instance["status"] == "cancelled"
    # Nobody knows what became of the charge, and it is shown so, whatever is done about it.
    assert charge["outcome"] == "unknown"
    assert [one["state"] for one in charge["attempts"]] == ["lost"]
    if on_unknown:
        assert instance["compensation"] == "completed"
        assert ledger(stack, order) == ["charge", "refund"]
    else:
        assert instance["compensation"] == "none"
        assert ledger(stack, order) == ["charge"]


def test_a_hung_step_frees_its_slot_by_its_limit_plus_5_s(stack: Stack, worker: Process) -> None:
    limit = 3
    head = {"dsl": "1.0.3", "namespace": "test", "name": "hung", "version": "1.0.0"}
    hung = {"call": "ledger.hang", "timeout": {"after": {"seconds": limit}}}
    id = stack.start(stack.deploy({"document": head, "do": [{"hung": hung}]}))
    stack.until(lambda: _claimed(stack, id), "the step runs")
    head = {**head, "name": "next"}
    # The only slot is taken: the next one runs when it is free.
    following = stack.start(
        stack.deploy({"document": head, "do": [{"plain": {"call": "ledger.plain"}}]})
    )
    assert stack.wait(following)["output"] == {"ran": True}
    ended = stack.wait(id)
    assert (ended["status"], ended["error"]["status"]) == ("faulted", 408)
    # By the database's clock, from the claim of the one to the claim of the other.
    ((seconds,),) = stack.sql(
        "select extract(epoch from n.claimed_at - h.claimed_at)::float"
        " from orchestrator.attempts h, orchestrator.attempts n"
        " where h.instance_id = %s and n.instance_id = %s",
        id,
        following,
    )
    assert limit - 1 <= seconds <= limit + 5


def _claimed(stack: Stack, id: str) -> bool:
    return bool(
        stack.sql(
            "select 1 from orchestrator.attempts where instance_id = %s and state = 'claimed'", id
        )
    )
