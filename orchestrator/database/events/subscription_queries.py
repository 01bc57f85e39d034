"""Subscriptions: which events go to which target, and the state of their delivery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from orchestrator.core.model import Json
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.events.event_queries import LAST
from orchestrator.database.keyset_pages import Page, Scope, equal, one_of, page
from orchestrator.json_codec import dumps
from orchestrator.secrets.encryption import DecryptionFailed

ACTIVE, PAUSED, DISABLED = "active", "paused", "disabled"


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A row of ``subscriptions``, without its secret.

    `target` is ``{"webhook": {"url"}}`` or ``{"workflow": {"name", "version"?, "read"?}}``.
    """

    id: str
    namespace: str
    description: str | None
    filter: dict[str, Json]
    type: str | None
    lifecycle: bool
    target: dict[str, Any]
    state: str = ACTIVE
    reason: str | None = None
    failures: int = 0
    failing_since: datetime | None = None
    created_at: datetime | None = None
    changed_at: datetime | None = None
    heard_from: int | None = None


_NAMES = tuple(field.name for field in fields(SubscriptionRow))
_COLUMNS = ", ".join("s.id::text" if name == "id" else f"s.{name}" for name in _NAMES)


def put(transaction: Transaction, row: SubscriptionRow, secret: str | None) -> None:
    """Add a subscription."""
    transaction.all(
        f"""
        insert into orchestrator.subscriptions
          (id, namespace, description, filter, type, lifecycle, target, secret, heard_from)
        values (%(id)s, %(namespace)s, %(description)s, %(filter)s, %(type)s, %(lifecycle)s,
          %(target)s, %(secret)s, {LAST})
        """,
        _values(row, secret),
    )


def get(session: Session, id: str, scope: Scope, *, lock: bool = False) -> SubscriptionRow | None:
    """Return a subscription; None also where its namespace is outside the scope."""
    row = session.one(
        f"""
        select {_COLUMNS} from orchestrator.subscriptions s
        where s.id = %s {"for no key update" if lock else ""}
        """,
        (id,),
    )
    subscription = SubscriptionRow(*row) if row else None
    return subscription if subscription and scope.has(subscription.namespace) else None


def listed(
    session: Session,
    scope: Scope,
    *,
    namespace: str | None = None,
    states: Sequence[str] = (),
    limit: int = 50,
    after: Sequence[Any] | None = None,
) -> Page:
    """Return subscriptions, the newest first; rows are ``(created_at, id, *SubscriptionRow)``."""
    return page(
        session,
        f"select s.created_at, s.id::text, {_COLUMNS} from orchestrator.subscriptions s",
        [
            scope.condition("namespace"),
            equal("namespace", namespace or None),
            one_of("state", states),
        ],
        order=("created_at", "id"),
        descending=True,
        limit=limit,
        after=after,
    )


def change(transaction: Transaction, row: SubscriptionRow, secret: str | None = None) -> None:
    """Store what people may change. Activation resets the count of failures and makes waiting
    deliveries due; events that came while it was not active do not count."""
    transaction.all(
        f"""
        update orchestrator.subscriptions s
        set description = %(description)s, filter = %(filter)s, type = %(type)s,
          lifecycle = %(lifecycle)s, target = %(target)s, state = g.state, reason = %(reason)s,
          failures = 0, failing_since = null, secret = coalesce(%(secret)s, secret),
          changed_at = clock_timestamp(),
          heard_from = case
            when s.state <> 'active' and g.state = 'active' then {LAST} else s.heard_from end
        from (select %(state)s::text as state) g
        where s.id = %(id)s
        """,
        _values(row, secret),
    )


def _values(row: SubscriptionRow, secret: str | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "namespace": row.namespace,
        "description": row.description,
        "filter": dumps(row.filter),
        "type": row.type,
        "lifecycle": row.lifecycle,
        "target": dumps(row.target),
        "state": row.state,
        "reason": row.reason,
        "secret": secret,
    }


def reencrypt_all(
    session: Session, scope: Scope, encrypt: Callable[[str, str, str], str]
) -> tuple[int, list[list[str]]]:
    """Encrypt the secret of every webhook again: `encrypt(namespace, id, text)`. Return how many
    were, and ``[namespace, id]`` of those that no key decrypts."""
    condition, params = scope.condition("namespace") or ("true", {})
    rows = session.all(
        f"""
        select namespace, id::text, secret from orchestrator.subscriptions
        where secret is not null and {condition}
        order by namespace, id
        """,
        dict(params),
    )
    rotated, unreadable = 0, []
    for namespace, id, text in rows:
        try:
            encrypted = encrypt(namespace, id, text)
        except DecryptionFailed:
            unreadable.append([namespace, id])
            continue
        updated = session.all(
            "update orchestrator.subscriptions set secret = %s where id = %s and secret = %s"
            " returning 1",
            (encrypted, id, text),
        )
        rotated += len(updated)
    return rotated, unreadable


def remove(transaction: Transaction, id: str) -> None:
    """Remove a subscription and its deliveries."""
    transaction.all("delete from orchestrator.deliveries where subscription_id = %s", (id,))
    transaction.all("delete from orchestrator.subscriptions where id = %s", (id,))


def active_subscriptions(
    transaction: Transaction, namespace: str, types: Sequence[str]
) -> list[SubscriptionRow]:
    """Return the active subscriptions of a namespace that may match events of these types."""
    rows = transaction.all(
        f"""
        select {_COLUMNS} from orchestrator.subscriptions s
        where s.namespace = %s and s.state = 'active' and (s.type is null or s.type = any(%s))
        order by s.id
        """,
        (namespace, list(types)),
    )
    return [SubscriptionRow(*row) for row in rows]


def record_success(transaction: Transaction, id: str) -> None:
    """Record a delivered event: it resets the count of failures."""
    transaction.all(
        """
        update orchestrator.subscriptions set failures = 0, failing_since = null
        where id = %s and failures > 0
        """,
        (id,),
    )


def record_failure(transaction: Transaction, id: str, most: int, seconds: float) -> bool:
    """Record a failed delivery. Return whether the subscription must be disabled: after `most`
    failures in a row over at least `seconds`."""
    row = transaction.one(
        """
        update orchestrator.subscriptions
        set failures = failures + 1, failing_since = coalesce(failing_since, clock_timestamp())
        where id = %s
        returning state = 'active' and failures >= %s
          and failing_since <= clock_timestamp() - %s * interval '1 s'
        """,
        (id, most, seconds),
    )
    return bool(row and row[0])


def disable(transaction: Transaction, id: str, reason: str) -> None:
    """Stop sending to a subscription until a person activates it."""
    transaction.all(
        """
        update orchestrator.subscriptions
        set state = 'disabled', reason = %s, changed_at = clock_timestamp()
        where id = %s and state = 'active'
        """,
        (reason, id),
    )
