"""Due timers become stimuli, each once, never early by the database's clock."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.database.connection.session import Session
from orchestrator.database.events.event_queries import LAST

#: The channel on which a transition announces that it armed a timer due soon.
CHANNEL = "orchestrator_timers"

#: A beat checks at least this often, in seconds: only a timer due earlier needs a notification.
LONGEST_SLEEP = 5.0


@dataclass(frozen=True, slots=True)
class FiredTimers:
    """The instances whose timers fired, and the delay of each timer, in seconds."""

    instances: tuple[str, ...]
    latenesses: tuple[float, ...]


#: The clock is read in a subquery: otherwise Postgres compares every timer with it, however late
#: they are due. The stimulus of a start timer carries the mark, because only the instance's
#: transitions may lock the instance.
FIRE = f"""
with due as (
  select instance_id, step, kind, due_at
  from orchestrator.timers
  where due_at <= (select clock_timestamp())
  order by due_at limit %s for update skip locked),
deleted as (
  delete from orchestrator.timers t
  using due d
  where t.instance_id = d.instance_id and t.step = d.step and t.kind = d.kind),
stimuli as (
  insert into orchestrator.stimuli (instance_id, kind, step, data)
  select d.instance_id, 'timer', nullif(d.step, 0),
    case d.kind
      when 'start' then json_build_object('kind', d.kind, 'heard_from', {LAST})
      else json_build_object('kind', d.kind) end
  from due d)
select instance_id::text, extract(epoch from clock_timestamp() - due_at)::float8
from due
"""


def fire(session: Session, limit: int = 200) -> FiredTimers:
    """Turn up to `limit` due timers into stimuli. Of several beats, one gets each timer."""
    rows = session.all(FIRE, (limit,))
    return FiredTimers(tuple(dict.fromkeys(row[0] for row in rows)), tuple(row[1] for row in rows))


def fire_now(session: Session, instance: str, step: int, kind: str) -> bool:
    """Turn one timer into its stimulus before it is due. Return whether it was there."""
    rows = session.all(
        """
        with deleted as (
          delete from orchestrator.timers
          where instance_id = %(instance)s and step = %(step)s and kind = %(kind)s
          returning 1)
        insert into orchestrator.stimuli (instance_id, kind, step, data)
        select %(instance)s, 'timer', %(step)s, json_build_object('kind', %(kind)s::text)
        from deleted
        returning 1
        """,
        {"instance": instance, "step": step, "kind": kind},
    )
    return bool(rows)


def announce(session: Session, seconds: float | None = None) -> None:
    """Notify the beats of a timer that may be due before their next check.

    `seconds` until it is due, if known: the beats wake then, even if the timer is removed.
    """
    session.all("select pg_notify(%s, %s)", (CHANNEL, "" if seconds is None else f"{seconds:.4f}"))
