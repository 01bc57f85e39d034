"""Commands to instances: their row locked to decide one, or the command left as a stimulus."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.model import ENDED_STATUSES, Compensation, Json, StimulusKind
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.instances.instance_queries import pending_of
from orchestrator.database.keyset_pages import Scope
from orchestrator.database.transitions import inbox_queries
from orchestrator.errors import NotFound

#: Opens the transaction that decides a command: a person waits for it, so it waits for the row
#: lock no longer than this; whoever has it longer is overtaken by a note.
DECIDING = (
    "begin; set local lock_timeout = '1s'; set local idle_in_transaction_session_timeout = '5s'; "
)


@dataclass(frozen=True, slots=True)
class Target:
    """An instance as a command finds it, or leaves it; `pending` commands wait in its inbox."""

    id: str
    namespace: str
    status: str
    compensation: str
    run: int
    sequence: int
    pending: int


def lock(transaction: Transaction, id: str, scope: Scope) -> None:
    """Take the instance's row lock until the transaction ends. Raises `NotFound`, also outside
    the scope, and `Busy`."""
    within = scope.condition("namespace")
    condition, params = within or ("true", {})
    row = transaction.one(
        f"select 1 from orchestrator.instances where id = %(id)s and {condition} for update",
        {"id": id, **params},
    )
    if row is None:
        raise NotFound(f"there is no instance {id}")


def target(session: Session, id: str) -> Target:
    """The instance as it is now. Raises `NotFound`."""
    row = session.one(
        f"select id::text, namespace, status, compensation, run, sequence, {pending_of('i')}"
        " from orchestrator.instances i where id = %s",
        (id,),
    )
    if row is None:
        raise NotFound(f"there is no instance {id}")
    return Target(*row)


def put(transaction: Transaction, instance: str, data: Json) -> None:
    """Leave the command in the instance's inbox. Which steps it needs, the core says itself."""
    inbox_queries.put(transaction, instance, StimulusKind.COMMAND, data=data)


def unlocked(transaction: Transaction, id: str, scope: Scope) -> Target:
    """The instance where its row lock could not be had; it stays until the transaction ends.

    Raises `NotFound`, also outside the scope; `Busy` where it might go to the archive meanwhile,
    because it has ended, and somebody keeps its row.
    """
    found = target(transaction, id)
    if not scope.has(found.namespace) or not _lock_if_open(transaction, found):
        raise NotFound(f"there is no instance {id}")
    return found


def _lock_if_open(session: Session, found: Target) -> bool:
    """Whether the instance can't go to the archive until the transaction has ended: one that
    has ended might."""
    if found.status not in ENDED_STATUSES or found.compensation == Compensation.RUNNING:
        return True
    lock = "select 1 from orchestrator.instances where id = %s for key share"
    return session.one(lock, (found.id,)) is not None
