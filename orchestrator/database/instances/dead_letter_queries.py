"""Work that gave up and waits for a person.

Its ``reason`` says what that is: ``compensation``, an undoing that failed for good, or ``lost``,
a step of the flow whose attempts were lost as often as they may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.core.model import OPEN_STATUSES, Json, Refusal
from orchestrator.database.access import audit_queries
from orchestrator.database.access.audit_queries import Entry
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.json_parameters import member
from orchestrator.database.connection.session import Session
from orchestrator.database.instances import command_queries
from orchestrator.database.keyset_pages import (
    Condition,
    IndexLevel,
    Page,
    Part,
    Scope,
    counted_by,
    page_by,
)
from orchestrator.json_codec import dumps

_COLUMNS = (
    "created_at, id::text, namespace, instance_id::text, step, reason, error::text,"
    " resolved_at, resolution::text,"
    " (select s.ref from orchestrator.steps s"
    "   where s.instance_id = found.instance_id and s.id = found.step),"
    " (select s.kind from orchestrator.steps s"
    "   where s.instance_id = found.instance_id and s.id = found.step)"
)
_TABLE = "orchestrator.dead_letters"
_SELECT = f"select {_COLUMNS} from {_TABLE} found"
_COMPENSATION = "compensation"
_OPEN = sorted(status.value for status in OPEN_STATUSES)


def listed(
    session: Session,
    scope: Scope,
    *,
    resolved: bool | None = None,
    instance: str | None = None,
    namespace: str | None = None,
    descending: bool = True,
    limit: int = 50,
    after: Sequence[Any] | None = None,
    more: Sequence[Condition] = (),
) -> Page:
    """Dead letters, by default the newest first: ``(created_at, id, namespace, instance_id, step,
    reason, error, resolved_at, resolution, reference, kind)``; error and resolution are JSON
    text, reference and kind the step's, None where it was pruned since."""
    return page_by(
        session,
        _COLUMNS,
        _TABLE,
        [_part(scope, resolved, instance, namespace, more)],
        order=("created_at", "id"),
        descending=descending,
        limit=limit,
        after=after,
    )


def open_count(
    session: Session, scope: Scope, instance: str | None, namespace: str | None, most: int
) -> int:
    """How many dead letters nobody has settled, counted up to `most`."""
    return counted_by(session, _TABLE, [_part(scope, False, instance, namespace, ())], most)


def _part(
    scope: Scope,
    resolved: bool | None,
    instance: str | None,
    namespace: str | None,
    more: Sequence[Condition],
) -> Part:
    state = None if resolved is None else f"resolved_at is {'not ' if resolved else ''}null"
    return Part(
        [scope.level if namespace is None else IndexLevel("namespace", [namespace])],
        [
            (state, {}) if state else None,
            ("instance_id = %(instance)s", {"instance": instance}) if instance else None,
            *more,
        ],
    )


def get(session: Session, id: str) -> tuple[Any, ...] | None:
    """One dead letter, as `listed` has it."""
    return session.one(f"{_SELECT} where id = %s", (id,))


def of_step(session: Session, instance: str, step: int) -> tuple[Any, ...] | None:
    """The newest open dead letter of a compensating step, as `listed` has it."""
    return session.one(
        f"{_SELECT} where instance_id = %s and step = %s and resolved_at is null"
        " and reason = 'compensation'"
        " order by created_at desc limit 1",
        (instance, step),
    )


def act_on(
    transaction: Transaction,
    letter: Sequence[Any],
    action: str,
    by: str,
    reason: str | None,
    address: str | None,
) -> bool:
    """Do with a letter (as `listed` has it) what a person decided about many, ``retry`` or
    ``resolve``: a command left to its instance, and a line of the audit log. False where it was
    settled already, or where a `hindrance` stands against it."""
    if refusal_reason(transaction, letter, action) or not _resolve(
        transaction, letter, action, by, reason
    ):
        return False
    command = command_of(letter, action, by, reason)
    if command is not None:
        command_queries.put(transaction, letter[3], command)
    _audit(transaction, letter, action, by, reason, address)
    return True


def command_of(
    letter: Sequence[Any], action: str, by: str, reason: str | None
) -> dict[str, Json] | None:
    """What the instance is told: of a given-up step only that a new run begins it anew."""
    step, told = letter[4], {"by": by, "reason": reason}
    if letter[5] == _COMPENSATION:
        return {"command": "compensation", "step": step, "action": action, **told}
    return {"command": "retry", "from": step, **told} if action == "retry" else None


def resolve(
    transaction: Transaction,
    letter: Sequence[Any],
    action: str,
    by: str,
    reason: str | None,
    address: str | None,
) -> None:
    """Note on a letter, and in the audit log, what a person decided and its instance has been
    told. Where that began the step anew, the letter says so already."""
    _resolve(transaction, letter, action, by, reason)
    _audit(transaction, letter, action, by, reason, address)


def _resolve(
    transaction: Transaction, letter: Sequence[Any], action: str, by: str, reason: str | None
) -> bool:
    """Note what a person decided; False where somebody has before."""
    resolution = dumps({"action": action, "by": by, "reason": reason})
    row = transaction.one(
        "update orchestrator.dead_letters set resolved_at = clock_timestamp(), resolution = %s"
        " where id = %s and resolved_at is null returning 1",
        (resolution, letter[1]),
    )
    return row is not None


def _audit(
    transaction: Transaction,
    letter: Sequence[Any],
    action: str,
    by: str,
    reason: str | None,
    address: str | None,
) -> None:
    told = Entry(by, f"dead-letter.{action}", letter[2], letter[1], reason, address=address)
    audit_queries.write(transaction, told)


def refusal_reason(session: Session, letter: Sequence[Any], action: str) -> Refusal | None:
    """Why the instance's state does not let a letter be settled this way; None: it does. The
    instance can't go to the archive until the transaction has ended."""
    _, _, _, instance, step, kind, *_ = letter
    if kind != _COMPENSATION and action == "resolve":
        return None
    row = session.one(
        "select i.status, i.compensation, i.open,"
        f" coalesce({member('s.state', 'stopped')}::int = i.run,"
        " false) from orchestrator.instances i left join orchestrator.steps s"
        " on s.instance_id = i.id and s.id = %s where i.id = %s for key share of i",
        (step, instance),
    )
    if row is None:
        return Refusal("its instance is no more")
    if kind == _COMPENSATION:
        runs = Refusal("its instance still runs; settle it afterwards", later=True)
        return runs if row[0] in _OPEN else None
    return _keeps_from_retrying(step, *row)


def _keeps_from_retrying(
    step: int, status: str, compensation: str, open: int, stopped: bool
) -> Refusal | None:
    """A new run begins anew what ended the last one, and nothing that has gone on since."""
    if compensation != "none":
        return Refusal(
            "what its instance had completed was undone: start it anew, and resolve this"
        )
    if not stopped:
        more = f", or retry the instance from step {step}" if status == "faulted" else ""
        return Refusal(f"its fault was caught, and the instance has gone on: resolve it{more}")
    if open:
        flying = "a withdrawn attempt of its instance still runs; retry it when that has ended"
        return Refusal(flying, later=True)
    return None
