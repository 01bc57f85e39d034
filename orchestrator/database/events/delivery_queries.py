"""Deliveries of events to webhooks: added, listed, sent again, purged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.keyset_pages import Page, equal, one_of, page
from orchestrator.ids import new_id

#: The channel that tells the senders that a delivery is due.
CHANNEL = "orchestrator_deliveries"

#: Time after which an unsuccessful delivery is given up.
GIVE_UP_AFTER = timedelta(days=1)


def put(
    transaction: Transaction, pairs: Sequence[tuple[str, int, str | None]]
) -> dict[tuple[str, int], str]:
    """Add deliveries, one for each subscription and event. Return the ids of the new ones, by
    (subscription, event's number).

    `pairs`: ``(subscription, event's number, instance whose order is kept)``.
    """
    if not pairs:
        return {}
    rows = transaction.all(
        """
        insert into orchestrator.deliveries (id, subscription_id, event, order_key, retry_until)
        select g.*, clock_timestamp() + %s
        from unnest(%s::uuid[], %s::uuid[], %s::bigint[], %s::uuid[])
          as g(id, subscription_id, event, order_key)
        on conflict (subscription_id, event) do nothing
        returning subscription_id::text, event, id::text
        """,
        (
            GIVE_UP_AFTER,
            [new_id() for _ in pairs],
            [pair[0] for pair in pairs],
            [pair[1] for pair in pairs],
            [pair[2] for pair in pairs],
        ),
    )
    return {(row[0], row[1]): row[2] for row in rows}


def announce(session: Session) -> None:
    """Notify the senders, once this transaction commits, that a delivery is due."""
    session.all("select pg_notify(%s, '')", (CHANNEL,))


def end_start(transaction: Transaction, id: str, instance: str | None, error: str | None) -> None:
    """End a delivery to a workflow: it started an instance, or could not."""
    transaction.all(
        """
        update orchestrator.deliveries
        set state = %s, attempts = attempts + 1, instance_id = %s, error = %s,
          ended_at = clock_timestamp(), next_at = null
        where id = %s
        """,
        ("failed" if instance is None else "delivered", instance, error, id),
    )


def resend(transaction: Transaction, id: str) -> bool:
    """Make a delivery due now, also one that ended; False where it is being tried anyway."""
    row = transaction.one(
        """
        update orchestrator.deliveries
        set state = 'pending', next_at = clock_timestamp(), retry_until = clock_timestamp() + %s,
          ended_at = null
        where id = %s and (state <> 'pending' or next_at > clock_timestamp())
        returning 1
        """,
        (GIVE_UP_AFTER, id),
    )
    return row is not None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as people see it; `event` is the id of the event's row, None where it was
    purged."""

    id: str
    subscription: str
    event: str | None
    type: str | None
    order_key: str | None
    state: str
    attempts: int
    next_at: datetime | None
    retry_until: datetime
    http_status: int | None
    error: str | None
    instance: str | None
    created_at: datetime
    ended_at: datetime | None


_COLUMNS = """
d.id::text, d.subscription_id::text, e.id::text, e.type, d.order_key::text, d.state, d.attempts,
d.next_at, d.retry_until, d.http_status, d.error, d.instance_id::text, d.created_at, d.ended_at
from orchestrator.deliveries d
left join orchestrator.events e on e.receipt_number = d.event
"""


def listed(
    session: Session,
    subscription: str,
    *,
    states: Sequence[str] = (),
    limit: int = 50,
    after: Sequence[Any] | None = None,
) -> Page:
    """Return the deliveries of a subscription, the newest first; rows are ``(created_at, id,
    *DeliveryRow)``."""
    return page(
        session,
        f"select d.created_at, d.id::text, {_COLUMNS}",
        [
            equal("d.subscription_id", subscription),
            one_of("d.state", states),
        ],
        order=("d.created_at", "d.id"),
        descending=True,
        limit=limit,
        after=after,
    )


def get(session: Session, subscription: str, id: str) -> DeliveryRow | None:
    """Return one delivery of a subscription."""
    row = session.one(
        f"select {_COLUMNS} where d.id = %s and d.subscription_id = %s", (id, subscription)
    )
    return DeliveryRow(*row) if row else None


def purge(session: Session, age: timedelta, limit: int = 2000) -> None:
    """Remove deliveries that ended longer than `age` ago, and those whose subscription was
    removed."""
    session.all(
        """
        delete from orchestrator.deliveries
        where ctid in (
          select ctid from orchestrator.deliveries d
          where d.state <> 'pending' and d.ended_at < clock_timestamp() - %s
            or not exists (
              select from orchestrator.subscriptions s
              where s.id = d.subscription_id)
          limit %s)
        """,
        (age, limit),
    )
