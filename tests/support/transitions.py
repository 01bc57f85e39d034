"""Transitions by hand, for tests of the statements that save them and of races with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from orchestrator import ids
from orchestrator.core.model import (
    Attempt,
    Fact,
    Instance,
    Slice,
    Status,
    Step,
    Stimulus,
    StimulusKind,
    Transition,
)
from orchestrator.database.connection.database import Database
from orchestrator.database.connection.session import Session
from orchestrator.database.transitions import inbox_queries, instance_slice_reader
from orchestrator.database.transitions.instance_slice_reader import Snapshot, snapshot_of
from orchestrator.database.transitions.row_mapper import to_attempt
from orchestrator.database.transitions.save_request import SaveRequest, SiblingClaim
from orchestrator.database.transitions.transition_writer import CLAIM_SIBLING, READ_SIBLING, save

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WORKER = ids.new_id()


def an_instance(database: Database) -> str:
    """A new instance, its start in its inbox."""
    id = ids.new_id()
    database.all(
        "insert into orchestrator.instances (id, namespace, workflow_id, workflow, version, input)"
        " values (%s, 'shop', %s, 'order', '1.0.0', '{\"nul\": \"\\u0000\"}')",
        (id, ids.new_id()),
    )
    inbox_queries.put(database, id, StimulusKind.START)
    return id


def a_step(number: int, **fields) -> Step:
    return Step(number, 0, f"/do/0/step{number}", "call", started_at=NOW, **fields)


def saving(before: Instance, stimulus: Stimulus | None = None, **changes) -> SaveRequest:
    told = stimulus or Stimulus(StimulusKind.RESULT, NOW, 7)
    after = replace(before, **changes.pop("instance", {}))
    fence, taken = changes.pop("fence", None), changes.pop("taken", None)
    slice = Slice(before, changes.pop("steps", {}))
    return SaveRequest(slice, told, Transition(after, **changes), lambda _: "celery", fence, taken)


def started(database: Database, instance: str) -> tuple[Instance, Attempt]:
    """The instance after its start, with one ready attempt of step 1."""
    snapshot = instance_slice_reader.read_inbox(database, instance)
    assert snapshot is not None and snapshot.stimulus is not None
    attempt = Attempt(ids.new_id(), 1, 1, "shop.reserve")
    start = Stimulus(StimulusKind.START, NOW, 7, id=snapshot.stimulus["id"])
    save(
        database,
        saving(
            snapshot.slice.instance,
            start,
            instance={"status": Status.RUNNING, "last_number": 1},
            created=(a_step(1, input={"nul": "\0"}),),
            attempts=(attempt,),
            facts=(Fact("workflow.started"), Fact("task.started", 1)),
        ),
    )
    with database.transaction() as transaction:
        locked = instance_slice_reader.lock_slice(transaction, instance, None, None)
    return locked.slice.instance, attempt


def ready(database: Database, instance: str, count: int) -> list[Attempt]:
    """The instance after its start, with so many ready attempts of one task."""
    after, first = started(database, instance)
    steps = range(2, count + 1)
    more = tuple(Attempt(ids.new_id(), step, 1, first.task) for step in steps)
    if more:
        save(database, saving(after, created=tuple(map(a_step, steps)), attempts=more))
    return [first, *more]


def claimed(reader: Session, instance: str, attempt: Attempt, token: str = "t.0"):
    return instance_slice_reader.claim(reader, attempt.id, instance, attempt.task, WORKER, 1, token)


def an_hour_ago(database: Database, column: str) -> None:
    database.all(
        f"update orchestrator.attempts set {column} = clock_timestamp() - interval '1 hour'"
    )


def take_next(reader: Session, instance: str, sibling: SiblingClaim) -> Snapshot | None:
    """What a save does for its sibling, in a transaction that is left open."""
    holder = (sibling.worker, sibling.process, sibling.token)
    reader.all(CLAIM_SIBLING, (instance, sibling.task, sibling.queue, *holder))
    row = reader.one(READ_SIBLING, holder)
    found = row and row[0]
    return snapshot_of(found["slice"], to_attempt(found["attempt"])) if found else None
