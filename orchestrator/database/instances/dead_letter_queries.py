"""Dead letters: work that failed for good and waits for a person.

``reason`` is ``compensation``, a compensation that failed for good; ``lost``, a step whose attempts
were lost as often as allowed; ``undecided``, a transition that can't be decided; or ``start``, a
refused start from another application's transaction, which has no instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.core.model import OPEN_STATUSES, Json, Refusal
from orchestrator.database.access import audit_queries
from orchestrator.database.access.audit_queries import AuditEntry
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.json_parameters import member
from orchestrator.database.connection.session import Session
from orchestrator.database.instances import command_queries, outbox_queries
from orchestrator.database.keyset_pages import (
    Condition,
    IndexLevel,
    Page,
    Part,
    Scope,
    counted_by,
    equal,
    page_by,
)
from orchestrator.json_codec import dumps

_COLUMNS = """
created_at, id::text, namespace, instance_id::text, step, reason, error::text, resolved_at,
resolution::text,
(
  select s.reference from orchestrator.steps s
  where s.instance_id = found.instance_id and s.id = found.step),
(
  select s.kind from orchestrator.steps s
  where s.instance_id = found.instance_id and s.id = found.step)
"""
_TABLE = "orchestrator.dead_letters"
_SELECT = f"select {_COLUMNS} from {_TABLE} found"
_COMPENSATION = "compensation"


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
    """Return dead letters, by default the newest first.

    Rows: ``(created_at, id, namespace, instance_id, step, reason, error, resolved_at, resolution,
    reference, kind)``. `error` and `resolution` are JSON text; `reference` and `kind` are those of
    the step, None where it was pruned since.
    """
    return page_by(
        session,
        _COLUMNS,
        _TABLE,
        [_part(scope, resolved, instance, namespace, more)],
        order=("created_at", "id"),
        descending=descending,
        limit=limit,
        after=after,
        payloads=("error", "resolution"),
    )


def open_count(
    session: Session, scope: Scope, instance: str | None, namespace: str | None, most: int
) -> int:
    """Return how many dead letters are open, counted up to `most`."""
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
            equal("instance_id", instance or None),
            *more,
        ],
    )


def get(session: Session, id: str) -> tuple[Any, ...] | None:
    """Return one dead letter, as `listed` has it."""
    return session.one(f"{_SELECT} where id = %s", (id,))


def of_step(session: Session, instance: str, step: int) -> tuple[Any, ...] | None:
    """Return the newest open dead letter of a compensating step, as `listed` has it."""
    return session.one(
        f"""
        {_SELECT}
        where instance_id = %s and step = %s and resolved_at is null and reason = 'compensation'
        order by created_at desc limit 1
        """,
        (instance, step),
    )


def act_on(
    transaction: Transaction,
    dead_letter: Sequence[Any],
    action: str,
    by: str,
    reason: str | None,
    address: str | None,
) -> bool:
    """Apply a person's decision about many dead letters to one of them: ``retry`` or ``resolve``.
    It puts a command into the instance's inbox and writes to the audit log.

    `dead_letter` is a row of `listed`. False where it was closed already, or where there is a
    `refusal_reason`.
    """
    if dead_letter[5] == outbox_queries.REFUSED_START:
        return decide_start(transaction, dead_letter, action, by, reason, address)
    if refusal_reason(transaction, dead_letter, action) or not _resolve(
        transaction, dead_letter, action, by, reason
    ):
        return False
    command = command_of(dead_letter, action, by, reason)
    if command is not None:
        command_queries.put(transaction, dead_letter[3], command)
    _audit(transaction, dead_letter, action, by, reason, address)
    return True


def decide_start(
    transaction: Transaction,
    dead_letter: Sequence[Any],
    action: str,
    by: str,
    reason: str | None,
    address: str | None,
) -> bool:
    """Apply a decision about a refused start: ``retry`` submits it again under the same id. False
    where it was closed already."""
    if not _resolve(transaction, dead_letter, action, by, reason):
        return False
    if action == "retry":
        outbox_queries.submit_again(transaction, dead_letter[1])
    _audit(transaction, dead_letter, action, by, reason, address)
    return True


def command_of(
    dead_letter: Sequence[Any], action: str, by: str, reason: str | None
) -> dict[str, Json] | None:
    """Return the command for the instance. For a lost step there is one only for ``retry``: a new
    run that starts the step again."""
    step, decision = dead_letter[4], {"by": by, "reason": reason}
    if dead_letter[5] == _COMPENSATION:
        return {"command": "compensation", "step": step, "action": action, **decision}
    return {"command": "retry", "from": step, **decision} if action == "retry" else None


def resolve(
    transaction: Transaction,
    dead_letter: Sequence[Any],
    action: str,
    by: str,
    reason: str | None,
    address: str | None,
) -> None:
    """Record a person's decision on a dead letter and in the audit log, after its instance got the
    command. Where the command started the step again, the dead letter is closed already."""
    _resolve(transaction, dead_letter, action, by, reason)
    _audit(transaction, dead_letter, action, by, reason, address)


def _resolve(
    transaction: Transaction, dead_letter: Sequence[Any], action: str, by: str, reason: str | None
) -> bool:
    """Close a dead letter with a person's decision; False where it was closed before."""
    resolution = dumps({"action": action, "by": by, "reason": reason})
    row = transaction.one(
        """
        update orchestrator.dead_letters set resolved_at = clock_timestamp(), resolution = %s
        where id = %s and resolved_at is null
        returning 1
        """,
        (resolution, dead_letter[1]),
    )
    return row is not None


def _audit(
    transaction: Transaction,
    dead_letter: Sequence[Any],
    action: str,
    by: str,
    reason: str | None,
    address: str | None,
) -> None:
    entry = AuditEntry(
        by, f"dead-letter.{action}", dead_letter[2], dead_letter[1], reason, address=address
    )
    audit_queries.write(transaction, entry)


def refusal_reason(session: Session, dead_letter: Sequence[Any], action: str) -> Refusal | None:
    """Return why the instance's state does not allow this action; None: it does. The instance can't
    be archived until the transaction has ended."""
    _, _, _, instance, step, kind, *_ = dead_letter
    if kind != _COMPENSATION and action == "resolve":
        return None
    row = session.one(
        f"""
        select i.status, i.compensation, i.open_places,
          coalesce({member("s.state", "stopped")}::int = i.run, false)
        from orchestrator.instances i
        left join orchestrator.steps s on s.instance_id = i.id and s.id = %s
        where i.id = %s
        for key share of i
        """,
        (step, instance),
    )
    if row is None:
        return Refusal("its instance is no more")
    if kind == _COMPENSATION:
        runs = Refusal("its instance still runs; act on it afterwards", later=True)
        return runs if row[0] in OPEN_STATUSES else None
    return _retry_refusal(step, *row)


def _retry_refusal(
    step: int, status: str, compensation: str, open: int, stopped: bool
) -> Refusal | None:
    """A new run starts again what ended the last one; it must not repeat work that has continued
    since."""
    if compensation != "none":
        return Refusal(
            "what its instance had completed was undone: start it anew, and resolve this"
        )
    if not stopped:
        more = f", or retry the instance from step {step}" if status == "faulted" else ""
        return Refusal(f"its fault was caught, and the instance has gone on: resolve it{more}")
    if open:
        draining = "a withdrawn attempt of its instance still runs; retry it when that has ended"
        return Refusal(draining, later=True)
    return None
