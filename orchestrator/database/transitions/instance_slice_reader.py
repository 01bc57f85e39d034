"""Reads what a transition may look at: slices, inboxes, and what the core asks for besides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from orchestrator.core import engine_version
from orchestrator.core.model import Attempt, ItemChunk, Json, Need, Slice, Step
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.json_parameters import member
from orchestrator.database.connection.session import Session
from orchestrator.database.transitions.row_mapper import (
    Row,
    to_attempt,
    to_instance,
    to_step,
    to_steps,
)
from orchestrator.errors import NotFound


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A slice as one statement saw it: `inbox` stimuli waited then, at `now` by the
    database's clock. `stimulus` is the row that is to be brought, where it came along."""

    slice: Slice
    inbox: int
    now: datetime
    stimulus: Row | None = None


def snapshot_of(answer: Row, attempt: Attempt | None, stimulus: Row | None = None) -> Snapshot:
    """What `read_slice` answered. Raises `NotFound` or `UnknownEngine`."""
    instance = answer["instance"]
    if instance is None:
        raise NotFound("there is no such instance")
    engine_version.check(instance["id"], instance["engine"])
    slice = Slice(to_instance(instance), to_steps(answer["steps"]), attempt)
    return Snapshot(slice, answer["inbox"], datetime.fromtimestamp(answer["now"], UTC), stimulus)


def lock_slice(
    transaction: Transaction, instance: str, step: int | None, attempt: str | None
) -> Snapshot:
    """Take the instance's row lock, then read; raises `Busy` where it can't be had in time."""
    row = transaction.one(
        "select orchestrator.lock_slice(%s, %s, %s)", (instance, step or 0, attempt)
    )
    assert row is not None  # noqa: S101  a select without a from has a row
    found = row[0]
    return snapshot_of(found["slice"], to_attempt(found["attempt"]) if found["attempt"] else None)


def lock_inbox(transaction: Transaction, instance: str) -> Snapshot | None:
    """Take the row lock, then read the oldest stimulus and its slice; None: nothing waits."""
    transaction.one("select 1 from orchestrator.instances where id = %s for update", (instance,))
    return read_inbox(transaction, instance)


def read_inbox(session: Session, instance: str) -> Snapshot | None:
    """The oldest stimulus that may be taken now, with its slice; None: nothing waits."""
    row = session.one("select orchestrator.read_inbox(%s)", (instance,))
    if row is None or row[0] is None:
        return None
    found = row[0]
    attempt = to_attempt(found["attempt"]) if found["attempt"] else None
    return snapshot_of(found["slice"], attempt, found["stimulus"])


def read_commands(session: Session, instance: str, limit: int) -> tuple[Snapshot, list[Row]]:
    """The instance without its steps, and the oldest commands that wait in its inbox."""
    row = session.one(
        "select orchestrator.read_slice(%(i)s, 0), (select json_agg(row_to_json(q)"
        " order by q.set_aside, q.id) from (select * from orchestrator.stimuli"
        "  where instance_id = %(i)s and kind = 'command' order by set_aside, id"
        "  limit %(n)s) q)",
        {"i": instance, "n": limit},
    )
    assert row is not None  # noqa: S101  a select without a from has a row
    return snapshot_of(row[0], None), row[1] or []


def claim(
    session: Session,
    attempt: str,
    instance: str,
    task: str,
    worker: str,
    process: int,
    token: str,
) -> Snapshot | None:
    """Claim an attempt; None is a definite refusal. Safe to repeat with the same token.

    Raises `UnknownEngine`: the attempt is given back, for those who know its instance's rules.
    """
    row = session.one(
        "select orchestrator.claim_attempt(%s, %s, %s, %s, %s, %s)",
        (attempt, instance, task, worker, process, token),
    )
    if row is None or row[0] is None:
        return None
    try:
        return snapshot_of(row[0]["slice"], to_attempt(row[0]["attempt"]))
    except engine_version.UnknownEngine:
        _release_claim(session, attempt, token)
        raise


def _release_claim(session: Session, attempt: str, token: str) -> None:
    """As it was before the claim, which costs every other claim nothing. Where it was withdrawn
    since, its lease runs out, so that its instance learns of its end."""
    session.all(
        "update orchestrator.attempts set state = 'ready', claimed_at = null, worker = null,"
        " process = null, token = null"
        " where id = %s and state = 'claimed' and token = %s and not withdrawn",
        (attempt, token),
    )


def claimed_under_token(session: Session, instance: str, token: str) -> Snapshot | None:
    """The attempt that was taken under this token, if the statement that took it committed."""
    row = session.one(
        "select row_to_json(a), orchestrator.read_slice(a.instance_id, a.step)"
        " from orchestrator.attempts a"
        " where a.instance_id = %s and a.state = 'claimed' and a.token = %s",
        (instance, token),
    )
    return snapshot_of(row[1], to_attempt(row[0])) if row else None


def ended_under_token(session: Session, attempt: str, token: str) -> bool:
    """Whether the attempt's own worker ended it, under this token."""
    return bool(
        session.one(
            "select 1 from orchestrator.attempts where id = %s and token = %s"
            " and state in ('succeeded', 'failed')",
            (attempt, token),
        )
    )


def load(session: Session, slice: Slice, need: Need) -> Slice:
    """The slice with the answer to one need of the core."""
    answer = _LOADERS[need.what](session, slice.instance.id, *need.args)
    return replace(slice, loaded={**slice.loaded, need: answer})


_OPEN = "('pending', 'running', 'waiting', 'suspended')"


def _open(session: Session, instance: str) -> list[tuple[Step, Attempt | None]]:
    """Every open step and those withdrawn ones that still run, their attempts locked: a
    claim that comes meanwhile waits, and is refused once the withdrawal has committed."""
    attempts = session.all(
        "select row_to_json(a) from orchestrator.attempts a where a.instance_id = %s"
        " and a.state in ('ready', 'claimed') order by a.id for update",
        (instance,),
    )
    newest = {row["step"]: to_attempt(row) for (row,) in attempts}
    steps = session.all(
        "select row_to_json(s) from orchestrator.steps s where s.instance_id = %s"
        f" and (s.status in {_OPEN} or s.id = any(%s)) order by s.id",
        (instance, list(newest)),
    )
    return [(step, newest.get(step.id)) for step in (to_step(row) for (row,) in steps)]


_OF_CHILDREN = (
    *("id", "parent", "ref", "kind", "status", "index", "output", "error", "done", "undoes"),
    *("started_at", "ended_at"),
)


def _children(session: Session, instance: str, parent: int) -> list[Step]:
    rows = session.all(
        f"select {', '.join(_OF_CHILDREN)}"
        " from orchestrator.steps where instance_id = %s and parent = %s and id > %s order by id",
        (instance, parent, parent),
    )
    return [to_step(dict(zip(_OF_CHILDREN, row, strict=True))) for row in rows]


def _items(session: Session, instance: str, step: int, index: int) -> ItemChunk | None:
    row = session.one(
        "select index, items from orchestrator.chunks"
        " where instance_id = %s and step = %s and index <= %s order by index desc limit 1",
        (instance, step, index),
    )
    return ItemChunk(step, row[0], row[1]) if row else None


def _undo(session: Session, instance: str, before: int) -> tuple[Step | None, dict[int, Step]]:
    row = session.one(
        "select id from orchestrator.steps where instance_id = %s and undoable < %s"
        " and (status = 'completed' or unknown or undo = 'child') order by undoable desc limit 1",
        (instance, before),
    )
    if row is None:
        return None, {}
    chain = _step(session, instance, row[0])
    return chain[row[0]], chain


def _step(session: Session, instance: str, step: int) -> dict[int, Step]:
    row = session.one("select orchestrator.read_slice(%s, %s)", (instance, step))
    return to_steps(row[0]["steps"]) if row else {}


def _attempt(session: Session, instance: str, step: int) -> Attempt | None:
    row = session.one(
        "select row_to_json(a) from orchestrator.attempts a"
        " where a.instance_id = %s and a.step = %s order by a.number desc limit 1",
        (instance, step),
    )
    return to_attempt(row[0]) if row else None


def _workflow(session: Session, _: str, namespace: str, name: str, version: str) -> str | None:
    """The core asks for those that the instance may run: of its own namespace, unless a setting
    says otherwise."""
    row = session.one(
        "select id from orchestrator.workflows where namespace = %s and name = %s"
        " and (version = %s or %s = 'latest') order by version_key desc limit 1",
        (namespace, name, version, version),
    )
    return str(row[0]) if row else None


def _stopped(session: Session, instance: str, run: int) -> list[Step]:
    rows = session.all(
        "select row_to_json(s) from orchestrator.steps s where s.instance_id = %s"
        f" and {member('s.state', 'stopped')}::int = %s order by s.id",
        (instance, run),
    )
    return [to_step(row) for (row,) in rows]


_LOADERS: dict[str, Callable[..., Json]] = {
    "open": _open,
    "children": _children,
    "items": _items,
    "undo": _undo,
    "step": _step,
    "attempt": _attempt,
    "workflow": _workflow,
    "stopped": _stopped,
}
