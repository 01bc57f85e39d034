"""Claims of due deliveries and their results. Deliveries of one instance are sent in order: the
next one when the one before was delivered or given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.model import Json
from orchestrator.database.connection.session import Session

#: Largest number of due deliveries of one subscription that a claim reads.
PER_SUBSCRIPTION_SCAN = 200


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery to send now.

    `attempt` counts the tries and is the fence of this one; `event` is None where the event was
    purged. `is_failing`: the subscription's last try failed.
    """

    id: str
    subscription: str
    attempt: int
    url: str
    secret: str
    event: dict[str, Json] | None
    namespace: str
    is_failing: bool


_CLAIM = """
with due as (
  select d.id, d.failing,
    row_number() over (partition by d.subscription_id order by d.event) as turn,
    row_number() over (partition by d.namespace order by d.next_at) as namespace_turn,
    row_number() over (partition by d.failing order by d.next_at) as lane_turn
  from (
    select d.id, d.subscription_id, d.event, d.next_at, s.namespace,
      s.failing_since is not null as failing
    from orchestrator.deliveries d
    join orchestrator.subscriptions s on s.id = d.subscription_id
    where d.state = 'pending' and d.next_at <= (select clock_timestamp())
      and s.state = 'active' and s.secret is not null
      and d.subscription_id <> all(%(busy)s::uuid[])
      and s.namespace <> all(%(busy_namespaces)s::text[])
      and (%(failing)s > 0 or s.failing_since is null)
      and not exists (
        select from orchestrator.deliveries e
        where e.subscription_id = d.subscription_id and e.order_key = d.order_key
          and e.state = 'pending' and e.event < d.event)
    order by d.next_at limit %(look)s) d),
locked as (
  select d.id from orchestrator.deliveries d
  join due on due.id = d.id
  where due.turn <= case when due.failing then 1 else %(each)s end
    and due.namespace_turn <= %(each)s and (not due.failing or due.lane_turn <= %(failing)s)
    and d.state = 'pending'
    and d.next_at <= (select clock_timestamp())
  order by d.next_at limit %(free)s for update of d skip locked),
claimed as (
  update orchestrator.deliveries d
  set attempts = attempts + 1, next_at = clock_timestamp() + %(lease)s * interval '1 s'
  from locked
  where d.id = locked.id
  returning d.*)
select t.id::text, t.subscription_id::text, t.attempts, s.target -> 'webhook' ->> 'url',
  s.secret, e.event, s.namespace, s.failing_since is not null
from claimed t
join orchestrator.subscriptions s on s.id = t.subscription_id
left join orchestrator.events e on e.receipt_number = t.event
order by t.event
"""


def claim(
    session: Session,
    free: int,
    busy: Sequence[str],
    each: int,
    seconds: float,
    busy_namespaces: Sequence[str] = (),
    failing: int = 1,
) -> list[ClaimedDelivery]:
    """Claim up to `free` due deliveries, at most `each` of one subscription and of one namespace,
    and none of the `busy` ones. Of subscriptions whose last try failed at most `failing`, one each.

    A sender that does not record the result within `seconds` loses its claim.
    """
    rows = session.all(
        _CLAIM,
        {
            "busy": list(busy),
            "busy_namespaces": list(busy_namespaces),
            "failing": failing,
            "look": PER_SUBSCRIPTION_SCAN,
            "each": each,
            "free": free,
            "lease": seconds,
        },
    )
    return [ClaimedDelivery(*row) for row in rows]


def record_success(session: Session, claimed: ClaimedDelivery, http_status: int) -> bool:
    """Record that the webhook accepted the event; False where another sender has the delivery by
    now."""
    row = session.one(
        """
        update orchestrator.deliveries
        set state = 'delivered', http_status = %s, error = null, ended_at = clock_timestamp(),
          next_at = null
        where id = %s and attempts = %s and state = 'pending'
        returning 1
        """,
        (http_status, claimed.id, claimed.attempt),
    )
    return row is not None


def record_failure(
    session: Session,
    claimed: ClaimedDelivery,
    http_status: int | None,
    error: str,
    seconds: float | None,
) -> bool:
    """Record a failed try: the next one is due in `seconds`, unless that is too late or `seconds`
    is None.

    False where another sender has the delivery by now.
    """
    row = session.one(
        """
        update orchestrator.deliveries d
        set http_status = %(http_status)s, error = %(error)s,
          state = case when g.again then 'pending' else 'failed' end,
          next_at = case when g.again then g.at end,
          ended_at = case when g.again then null else clock_timestamp() end
        from (
          select clock_timestamp() + %(wait)s * interval '1 s' as at,
            coalesce(clock_timestamp() + %(wait)s * interval '1 s' <= o.retry_until, false) as again
          from orchestrator.deliveries o
          where o.id = %(id)s) g
        where d.id = %(id)s and d.attempts = %(attempt)s and d.state = 'pending'
        returning 1
        """,
        {
            "http_status": http_status,
            "error": error,
            "wait": seconds,
            "id": claimed.id,
            "attempt": claimed.attempt,
        },
    )
    return row is not None


def next_due(session: Session) -> float | None:
    """Return the seconds until the next delivery is due (negative: overdue); None: there is none.
    Deliveries that wait for the one before them are left out."""
    row = session.one(
        """
        select extract(epoch from d.next_at - clock_timestamp())::float8
        from orchestrator.deliveries d
        join orchestrator.subscriptions s on s.id = d.subscription_id
        where d.state = 'pending' and s.state = 'active' and d.next_at is not null
          and not exists (
            select from orchestrator.deliveries e
            where e.subscription_id = d.subscription_id and e.order_key = d.order_key
              and e.state = 'pending' and e.event < d.event)
        order by d.next_at limit 1
        """
    )
    return row[0] if row else None
