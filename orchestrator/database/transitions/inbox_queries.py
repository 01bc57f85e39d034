"""The inbox of instances: put stimuli in, remove or defer them, find those that wait too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.model import Json, StimulusKind
from orchestrator.database.connection.session import Session
from orchestrator.database.events.event_offer_queries import REFUSE_OFFERS
from orchestrator.json_codec import dumps

#: A waiting stimulus is hinted at least this often, in seconds.
MAX_HINT_INTERVAL = 60.0


def put(
    session: Session,
    instance: str,
    kind: StimulusKind,
    *,
    step: int | None = None,
    attempt: str | None = None,
    data: Json = None,
    key: str | None = None,
) -> None:
    """Put a stimulus into an instance's inbox. A second one with the same key is ignored."""
    session.all(
        """
        insert into orchestrator.stimuli (instance_id, kind, step, attempt, data, key)
        values (%s, %s, %s, %s, %s, %s)
        on conflict (instance_id, key) where key is not null do nothing
        """,
        (instance, kind.value, step, attempt, None if data is None else dumps(data), key),
    )


def delete_stimulus(session: Session, stimulus: int) -> None:
    """Remove a stimulus that changed nothing. An event that it offered becomes free again."""
    session.all(
        f"""
        with dropped as (
          delete from orchestrator.stimuli
          where id = %s
          returning instance_id, step,
            case when kind = 'event' then split_part(key, ':', 2) end as event),
        unconsumed as (
          select instance_id, step, event::bigint as event
          from dropped
          where event <> ''), {REFUSE_OFFERS}
        """,
        (stimulus,),
    )


def defer(session: Session, stimulus: int) -> None:
    """Let later stimuli pass a stimulus that can't be applied."""
    session.all("update orchestrator.stimuli set deferred = true where id = %s", (stimulus,))


@dataclass(frozen=True, slots=True)
class OverdueStimulus:
    """A waiting stimulus and its instance."""

    id: int
    instance: str


_OVERDUE = """
with late as materialized (
  select q.id, q.hinted_at, coalesce(q.hinted_at, q.created_at) as since
  from orchestrator.stimuli q
  join orchestrator.instances i on i.id = q.instance_id
  where coalesce(q.hinted_at, q.created_at)
    + greatest(%(s)s * interval '1 s', least(
      coalesce(q.hinted_at, q.created_at) - q.created_at, %(most)s * interval '1 s'))
    < (select clock_timestamp())
    and (i.status <> 'suspended' or q.kind in ('command', 'result'))
    and not exists (
      select from orchestrator.decision_leases l
      where l.instance_id = q.instance_id and l.expires_at > clock_timestamp())),
chosen as (
  (select * from late order by since desc, id desc limit (%(n)s + 1) / 2)
  union (select * from late order by since, id limit %(n)s / 2)),
held as (
  select q.id, chosen.since from orchestrator.stimuli q
  join chosen on chosen.id = q.id and q.hinted_at is not distinct from chosen.hinted_at
  for update of q skip locked),
hinted as (
  update orchestrator.stimuli q set hinted_at = clock_timestamp()
  from held
  where q.id = held.id
  returning q.id, q.instance_id::text, held.since)
select id, instance_id from hinted
order by since desc, id desc
"""


def overdue(session: Session, seconds: float, limit: int = 500) -> list[OverdueStimulus]:
    """Return stimuli that have waited for `seconds` since they came or since their last hint.

    Each is returned once in that time, however many beats ask; the time doubles with each hint, up
    to `MAX_HINT_INTERVAL`. One half of them are the newest, which come first, the other half the
    oldest. A suspended instance's stimuli are left out, except commands and results: they wait for
    the resume. So are those of an instance whose decisions are leased: the lease's holder reads
    them.
    """
    rows = session.all(
        _OVERDUE,
        {"s": seconds, "most": MAX_HINT_INTERVAL, "n": limit},
    )
    return [OverdueStimulus(*row) for row in rows]


def count_pending(session: Session, stimuli: Sequence[int]) -> int:
    """Return how many of these stimuli still wait."""
    row = session.one(
        "select count(*) from orchestrator.stimuli where id = any(%s)", (list(stimuli),)
    )
    return row[0] if row else 0
