"""The audit log: the actor, the change, its reason and address. Written in the transaction of the
change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.keyset_pages import Condition, Page, Part, Scope, equal, page, page_by
from orchestrator.json_codec import dumps


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change. `actor` is the name of the API key; `target` is the thing that changed."""

    actor: str
    action: str
    namespace: str | None = None
    target: str | None = None
    reason: str | None = None
    address: str | None = None
    details: Any = None


def write(transaction: Transaction, entry: AuditEntry) -> None:
    """Add to the log, in the transaction of the change."""
    transaction.all(
        """
        insert into orchestrator.audit_log
          (namespace, actor, action, target, reason, details, address)
        values (%(namespace)s, %(actor)s, %(action)s, %(target)s, %(reason)s, %(details)s,
          %(address)s)
        """,
        {
            "namespace": entry.namespace,
            "actor": entry.actor,
            "action": entry.action,
            "target": entry.target,
            "reason": entry.reason,
            "details": None if entry.details is None else dumps(entry.details),
            "address": entry.address,
        },
    )


_COLUMNS = "id, at, namespace, actor, action, target, reason, details::text, address"


def listed(
    session: Session,
    scope: Scope,
    *,
    action: str | None = None,
    target: str | None = None,
    limit: int = 50,
    after: list[Any] | None = None,
) -> Page:
    """Return the entries, the newest first."""
    conditions: list[Condition] = [
        equal("action", action or None),
        equal("target", target or None),
    ]
    # Only callers who may see all namespaces see entries without a namespace. So select by
    # namespace only for the other callers.
    if scope.namespaces is None:
        return page(
            session,
            f"select {_COLUMNS} from orchestrator.audit_log",
            conditions,
            order=("id",),
            descending=True,
            limit=limit,
            after=after,
        )
    return page_by(
        session,
        _COLUMNS,
        "orchestrator.audit_log",
        [Part([scope.level], conditions)],
        order=("id",),
        descending=True,
        limit=limit,
        after=after,
    )
