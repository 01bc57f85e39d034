"""Commands to instances: lock the row to decide one, or put the command into the inbox."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.model import ENDED_STATUSES, Compensation, Json, StimulusKind
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.instances.instance_queries import pending_of
from orchestrator.database.keyset_pages import Scope
from orchestrator.database.transitions import inbox_queries
from orchestrator.errors import NotFound

#: Opens the transaction that decides a command. A person waits for it, so it waits at most one
#: second for the row lock; after that, the command goes into the inbox.
DECIDING = (
    "begin; set local lock_timeout = '1s'; set local idle_in_transaction_session_timeout = '5s'; "
)


@dataclass(frozen=True, slots=True)
class Target:
    """An instance before or after a command; `pending` counts the commands in its inbox."""

    id: str
    namespace: str
    status: str
    compensation: str
    run: int
    sequence: int
    pending: int


def lock(transaction: Transaction, id: str, scope: Scope) -> None:
    """Lock the instance's row until the transaction ends. Raises `NotFound`, also outside the
    scope, and `LockTimeout`."""
    within = scope.condition("namespace")
    condition, params = within or ("true", {})
    row = transaction.one(
        f"select 1 from orchestrator.instances where id = %(id)s and {condition} for update",
        {"id": id, **params},
    )
    if row is None:
        raise NotFound(f"there is no instance {id}")


def target(session: Session, id: str) -> Target:
    """Return the instance as it is now. Raises `NotFound`."""
    row = session.one(
        f"""
        select id::text, namespace, status, compensation, run, sequence, {pending_of("i")}
        from orchestrator.instances i
        where id = %s
        """,
        (id,),
    )
    if row is None:
        raise NotFound(f"there is no instance {id}")
    return Target(*row)


def put(transaction: Transaction, instance: str, data: Json) -> None:
    """Put the command into the instance's inbox. The core says itself which steps it needs."""
    inbox_queries.put(transaction, instance, StimulusKind.COMMAND, data=data)


def target_without_lock(transaction: Transaction, id: str, scope: Scope) -> Target:
    """Return an instance whose row lock was not granted; its row remains until the transaction
    ends.

    Raises `NotFound`, also outside the scope, and `LockTimeout` where an ended instance could be
    archived meanwhile because another transaction has its row.
    """
    found = target(transaction, id)
    if not scope.has(found.namespace) or not _lock_if_open(transaction, found):
        raise NotFound(f"there is no instance {id}")
    return found


def _lock_if_open(session: Session, found: Target) -> bool:
    """Whether the instance remains until the transaction ends; an ended instance is locked, because
    it could be archived."""
    if found.status not in ENDED_STATUSES or found.compensation == Compensation.RUNNING:
        return True
    lock = "select 1 from orchestrator.instances where id = %s for key share"
    return session.one(lock, (found.id,)) is not None
