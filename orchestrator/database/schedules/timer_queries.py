"""Timers that fall due become stimuli, each once, never early by the database's clock."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.database.connection.session import Session
from orchestrator.database.events.event_queries import LAST

#: The channel on which a transition says that it armed a timer due soon.
CHANNEL = "orchestrator_timers"

#: A beat looks at least this often, in s: only a timer due earlier needs announcing.
LONGEST_SLEEP = 5.0


@dataclass(frozen=True, slots=True)
class Fired:
    """The instances whose timers fell due, and how late each of the timers was, in s."""

    instances: tuple[str, ...]
    latenesses: tuple[float, ...]


#: The clock is read in a query of its own: as it stands it would be compared with each timer,
#: at that moment, and so with all of them, however late they are due. The start of an instance
#: brings its mark, because nobody but its transitions may lock the instance here.
FIRE = f"""
with due as (
  select instance_id, step, kind, due_at
  from orchestrator.timers
  where due_at <= (select clock_timestamp())
  order by due_at limit %s for update skip locked),
gone as (
  delete from orchestrator.timers t
  using due d
  where t.instance_id = d.instance_id and t.step = d.step and t.kind = d.kind),
told as (
  insert into orchestrator.stimuli (instance_id, kind, step, data)
  select d.instance_id, 'timer', nullif(d.step, 0),
    case d.kind
      when 'start' then json_build_object('kind', d.kind, 'heard_from', {LAST})
      else json_build_object('kind', d.kind) end
  from due d)
select instance_id::text, extract(epoch from clock_timestamp() - due_at)::float8
from due
"""


def fire(session: Session, limit: int = 200) -> Fired:
    """Turn up to `limit` due timers into stimuli. Several beats may ask at once: each timer
    falls to one of them."""
    rows = session.all(FIRE, (limit,))
    return Fired(tuple(dict.fromkeys(row[0] for row in rows)), tuple(row[1] for row in rows))


def announce(session: Session, seconds: float | None = None) -> None:
    """Tell the beats that a timer was armed which may be due before their next look,
    and in how many seconds, if that is known: then they wake, whatever becomes of the timer."""
    session.all("select pg_notify(%s, %s)", (CHANNEL, "" if seconds is None else f"{seconds:.4f}"))
