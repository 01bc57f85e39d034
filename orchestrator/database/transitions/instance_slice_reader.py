"""Reads the data of a transition: slices, inboxes, and the needs of the core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from orchestrator.core import engine_version
from orchestrator.core.model import Attempt, ItemChunk, Json, Need, Slice, Step
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.json_parameters import member
from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import OPEN
from orchestrator.database.transitions.row_mapper import (
    Row,
    to_attempt,
    to_instance,
    to_step,
    to_steps,
)
from orchestrator.database.workflows import instance_tree_queries
from orchestrator.errors import NotFound


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A slice as one statement saw it.

    `inbox` is the number of waiting stimuli at `now`, by the database's clock. `stimulus` is the
    row to apply, where it was read with the slice.
    """

    slice: Slice
    inbox: int
    now: datetime
    stimulus: Row | None = None


def snapshot_of(answer: Row, attempt: Attempt | None, stimulus: Row | None = None) -> Snapshot:
    """Return the snapshot for an answer of `read_slice`. Raises `NotFound` or `UnknownEngine`."""
    instance = answer["instance"]
    if instance is None:
        raise NotFound("there is no such instance")
    engine_version.check(instance["id"], instance["engine"])
    slice = Slice(to_instance(instance), to_steps(answer["steps"]), attempt)
    return Snapshot(slice, answer["inbox"], datetime.fromtimestamp(answer["now"], UTC), stimulus)


def lock_slice(
    transaction: Transaction, instance: str, step: int | None, attempt: str | None
) -> Snapshot:
    """Lock the instance's row, then read. Raises `LockTimeout` where the lock is not granted in
    time."""
    row = transaction.one(
        "select orchestrator.lock_slice(%s, %s, %s)", (instance, step or 0, attempt)
    )
    assert row is not None  # noqa: S101  a select without a from has a row
    answer = row[0]
    return snapshot_of(
        answer["slice"], to_attempt(answer["attempt"]) if answer["attempt"] else None
    )


def lock_inbox(transaction: Transaction, instance: str, token: str) -> Snapshot | None:
    """Lock the instance's row, then read the oldest stimulus and its slice, as `read_inbox`."""
    transaction.one("select 1 from orchestrator.instances where id = %s for update", (instance,))
    return read_inbox(transaction, instance, token)


def read_inbox(session: Session, instance: str, token: str = "") -> Snapshot | None:
    """Return the oldest stimulus that may be applied now, with its slice; None: no stimulus
    waits, or another token than the caller's has the lease on the instance's decisions."""
    row = session.one("select orchestrator.read_inbox(%s, %s)", (instance, token))
    if row is None or row[0] is None:
        return None
    answer = row[0]
    attempt = to_attempt(answer["attempt"]) if answer["attempt"] else None
    return snapshot_of(answer["slice"], attempt, answer["stimulus"])


def read_commands(session: Session, instance: str, limit: int) -> tuple[Snapshot, list[Row]]:
    """Return the instance without its steps, and the oldest commands in its inbox.

    A command that could not be applied waits behind all others, so it is not among them.
    """
    row = session.one(
        """
        select orchestrator.read_slice(%(i)s, 0),
          (
            select json_agg(row_to_json(q) order by q.id)
            from (
              select * from orchestrator.stimuli
              where instance_id = %(i)s and kind = 'command' and not deferred
              order by id limit %(n)s) q)
        """,
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

    Raises `UnknownEngine`: the claim is undone, so that a worker with that engine version can take
    the attempt.
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
    """Undo the claim. Checking the engine version after the claim, not in it, keeps all other
    claims fast.

    If the attempt was withdrawn meanwhile, leave it: its lease expires and ends it.
    """
    session.all(
        """
        update orchestrator.attempts
        set state = 'ready', claimed_at = null, worker = null, process = null, token = null
        where id = %s and state = 'claimed' and token = %s and not withdrawn
        """,
        (attempt, token),
    )


def claimed_under_token(session: Session, instance: str, token: str) -> Snapshot | None:
    """Return the attempt that was claimed under this token, if the claiming statement committed."""
    row = session.one(
        """
        select row_to_json(a), orchestrator.read_slice(a.instance_id, a.step)
        from orchestrator.attempts a
        where a.instance_id = %s and a.state = 'claimed' and a.token = %s
        """,
        (instance, token),
    )
    return snapshot_of(row[1], to_attempt(row[0])) if row else None


def ended_under_token(session: Session, attempt: str, token: str) -> bool:
    """Whether the worker that claimed the attempt under this token has ended it."""
    return bool(
        session.one(
            """
            select 1 from orchestrator.attempts
            where id = %s and token = %s and state in ('succeeded', 'failed')
            """,
            (attempt, token),
        )
    )


def load(session: Session, slice: Slice, need: Need) -> Slice:
    """Return the slice with the answer to one need of the core."""
    answer = _LOADERS[need.what](session, slice.instance.id, *need.args)
    return replace(slice, loaded={**slice.loaded, need: answer})


def _open(session: Session, instance: str) -> list[tuple[Step, Attempt | None]]:
    """Return every open step, and withdrawn steps that still run, with their attempts locked.

    A claim that comes meanwhile waits, and is refused once the withdrawal has committed.
    """
    attempts = session.all(
        """
        select row_to_json(a) from orchestrator.attempts a
        where a.instance_id = %s and a.state in ('ready', 'claimed')
        order by a.id for update
        """,
        (instance,),
    )
    newest = {row["step"]: to_attempt(row) for (row,) in attempts}
    steps = session.all(
        f"""
        select row_to_json(s) from orchestrator.steps s
        where s.instance_id = %s and (s.status in {OPEN} or s.id = any(%s))
        order by s.id
        """,
        (instance, list(newest)),
    )
    return [(step, newest.get(step.id)) for step in (to_step(row) for (row,) in steps)]


_OF_CHILDREN = (
    *("id", "parent", "reference", "kind", "status", "index", "output", "error"),
    *("completion_number", "compensates", "started_at", "ended_at"),
)


def _children(session: Session, instance: str, parent: int) -> list[Step]:
    rows = session.all(
        f"""
        select {", ".join(_OF_CHILDREN)} from orchestrator.steps
        where instance_id = %s and parent = %s and id > %s
        order by id
        """,
        (instance, parent, parent),
    )
    return [to_step(dict(zip(_OF_CHILDREN, row, strict=True))) for row in rows]


def _items(session: Session, instance: str, step: int, index: int) -> ItemChunk | None:
    row = session.one(
        """
        select index, items from orchestrator.item_chunks
        where instance_id = %s and step = %s and index <= %s
        order by index desc limit 1
        """,
        (instance, step, index),
    )
    return ItemChunk(step, row[0], row[1]) if row else None


def _undo(session: Session, instance: str, before: int) -> tuple[Step | None, dict[int, Step]]:
    row = session.one(
        """
        select id from orchestrator.steps
        where instance_id = %s and undoable < %s
          and (status = 'completed' or outcome_unknown or compensated_by = 'child')
        order by undoable desc limit 1
        """,
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
        """
        select row_to_json(a) from orchestrator.attempts a
        where a.instance_id = %s and a.step = %s
        order by a.number desc limit 1
        """,
        (instance, step),
    )
    return to_attempt(row[0]) if row else None


def _workflow(session: Session, _: str, namespace: str, name: str, version: str) -> str | None:
    """Find a version for a sub-workflow. The core asks only for those that the instance may run: of
    its own namespace, unless a setting allows others."""
    row = session.one(
        """
        select id from orchestrator.workflows
        where namespace = %s and name = %s and (version = %s or %s = 'latest')
          and retired_at is null
        order by version_key desc limit 1
        """,
        (namespace, name, version, version),
    )
    return str(row[0]) if row else None


def _tree(session: Session, _: str, root: str) -> bool:
    return instance_tree_queries.may_start(session, root)


def _stopped(session: Session, instance: str, run: int) -> list[Step]:
    rows = session.all(
        f"""
        select row_to_json(s) from orchestrator.steps s
        where s.instance_id = %s and {member("s.state", "stopped")}::int = %s
        order by s.id
        """,
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
    "tree": _tree,
    "stopped": _stopped,
}
