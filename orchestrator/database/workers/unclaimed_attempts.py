"""Unclaimed attempts: which are published, and which again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.database.connection.session import Session


@dataclass(frozen=True, slots=True)
class PublishableAttempt:
    """An attempt with the data of its message."""

    id: str
    instance: str
    step: int
    task: str
    queue: str
    priority: int | None
    time_limit: float | None
    #: The call of its step (`Step.call`), for display only; None where it is too large.
    call: Mapping[str, Any] | None = None


#: The largest call that is read for display, in bytes.
_MAX_CALL = 4096
_COLUMNS = f"""
a.id::text, a.instance_id::text, a.step, a.task, a.queue, a.priority, a.time_limit,
(
  select case when octet_length(s.call::text) <= {_MAX_CALL} then s.call end
  from orchestrator.steps s
  where s.instance_id = a.instance_id and s.id = a.step)
"""
_STAMP = """
set published_at = clock_timestamp(), publish_count = least(a.publish_count + 1, 30),
  refused_at = null
"""


def _publishable(rows: list[tuple[Any, ...]]) -> list[PublishableAttempt]:
    return [PublishableAttempt(*row) for row in rows]


def publishable(session: Session, update: str, params: dict[str, Any]) -> list[PublishableAttempt]:
    """Run an update of the attempts `a`; return what it changed, with the data of messages."""
    return _publishable(session.all(f"{update} returning {_COLUMNS}", params))


#: The largest number of published and unclaimed attempts of one instance.
PUBLISHED_AT_ONCE = 500


def claim_next_wave(
    session: Session, instance: str, queue: str, count: int
) -> list[PublishableAttempt]:
    """Return up to `count` more attempts of a wide instance and a queue, stamped as published."""
    return _publishable(
        session.all(
            f"""
            with more as (
              select id from orchestrator.attempts
              where instance_id = %(i)s
                -- "is true" keeps Postgres from the index of all instances' waiting attempts.
                and queue = %(q)s and state = 'ready' and (published_at is null) is true
                -- Counted only up to the limit: the instance may have any number of them.
                and (
                  select count(*)
                  from (
                    select from orchestrator.attempts
                    where instance_id = %(i)s and state = 'ready' and published_at is not null
                    limit %(most)s) p) < %(most)s
              order by id limit %(n)s for update skip locked)
            update orchestrator.attempts a {_STAMP}
            from more
            where a.id = more.id
            returning {_COLUMNS}
            """,
            {"i": instance, "q": queue, "n": count, "most": PUBLISHED_AT_ONCE},
        )
    )


#: The queries below read the clock once, in a subselect: a volatile function in the condition
#: itself would prevent the use of any index.

#: How far back claims are read, in seconds; also the longest time until an attempt is republished.
WINDOW = 300

#: Per queue and priority: the newest message that the broker has certainly passed, and the last
#: claim.
_RECENT_CLAIMS = """
lately as materialized (
  select queue, coalesce(priority, -1) as priority,
    max(published_at) filter (
      where claimed_at < (select clock_timestamp()) - %(p)s * interval '1 s') as passed,
    max(claimed_at) as claimed_at
  from orchestrator.attempts
  where claimed_at > (select clock_timestamp()) - %(w)s * interval '1 s'
  group by 1, 2)
"""
#: A candidate has waited its own time, which doubles with every publication.
_WAITING = """
waiting as materialized (
  select id, instance_id, queue, coalesce(priority, -1) as priority, published_at, republish_after
  from (
    select *,
      least(%(p)s * power(2, greatest(publish_count - 1, 0)), %(w)s)
        * interval '1 s' as republish_after
    from orchestrator.attempts
    where state = 'ready' and not withdrawn) r
  where coalesce(published_at, created_at) < (select clock_timestamp()) - republish_after
    -- A queue without consumers must not hide the lost messages of another queue.
    and (
      published_at is null
      or queue in (select queue from lately)
      or queue in (
        select unnest(k.queues) from orchestrator.workers k
        where k.free_slots > 0 and k.stopped_at is null and not k.stopping))
  order by published_at nulls first)
"""
#: Never published, and no other attempt of its instance and queue is: the process that should have
#: published more has died.
_WAVE_DIED = """
(
  w.published_at is null
  and not exists (
    select 1 from orchestrator.attempts o
    where o.instance_id = w.instance_id and o.state = 'ready' and o.queue = w.queue
      and o.published_at is not null))
"""
_PASSED_BY = """
exists (
  select 1 from lately c
  where c.queue = w.queue and c.priority = w.priority and c.passed > w.published_at)
"""
_QUIET = """
not exists (
  select 1 from lately c
  where c.queue = w.queue and c.claimed_at > (select clock_timestamp()) - w.republish_after)
"""
_WORKER_FREE = """
exists (
  select 1 from orchestrator.workers k
  where w.queue = any(k.queues) and k.free_slots > 0 and k.stopped_at is null and not k.stopping
    and k.last_heartbeat_at > (select clock_timestamp()) - %(p)s * interval '1 s')
"""


def claim_lost_messages(
    session: Session, republish_after: float, limit: int = 500
) -> list[PublishableAttempt]:
    """Return attempts whose message must be lost, stamped as published again.

    An attempt is republished when one published later, of the same queue and priority, was claimed
    more than `republish_after` seconds ago (so the broker has passed its message), or when nothing
    of its queue was claimed for that long although a live worker of the queue has free slots. The
    time doubles with each publication, so that neither a steady load hides a lost message nor a
    long backlog is multiplied (DESIGN, Publishing again).
    """
    return _publishable(
        session.all(
            f"""
            with {_RECENT_CLAIMS}, {_WAITING},
            passed as (
              select w.id, w.published_at from waiting w
              where {_WAVE_DIED} or {_PASSED_BY} or ({_QUIET} and {_WORKER_FREE})
              limit %(n)s)
            -- If another beat has republished it meanwhile, leave it.
            update orchestrator.attempts a {_STAMP}
            where a.id in (
              select o.id from orchestrator.attempts o
              join passed p on p.id = o.id and o.published_at is not distinct from p.published_at
              where o.state = 'ready'
              order by o.id for update of o skip locked)
            returning {_COLUMNS}
            """,
            {"p": republish_after, "n": limit, "w": WINDOW},
        )
    )


def mark_refused(session: Session, attempt: str, unknown: str | None = None) -> None:
    """Record that a worker has discarded the message of an attempt.

    `unknown` is the task that the worker lacks; without it, the worker enforces no time limits and
    the attempt has one. Messages are not trusted: for another attempt this changes nothing.
    """
    session.all(
        """
        update orchestrator.attempts set refused_at = clock_timestamp()
        where id = %(a)s and state = 'ready' and refused_at is null
          and case when %(u)s::text is null then time_limit is not null else task = %(u)s end
        """,
        {"a": attempt, "u": unknown},
    )


def claim_refused_messages(
    session: Session, republish_after: float, limit: int = 500
) -> list[PublishableAttempt]:
    """Return attempts whose message was refused and that a live worker of their queue can run,
    stamped as published.

    That message is known to be lost, so an attempt is republished as soon as such a worker has a
    free slot, and every `republish_after` seconds while all are busy. This neither counts as a
    publication nor doubles that time. While no worker can run it, nothing is published.
    """
    return _publishable(
        session.all(
            f"""
            with able as materialized (
              select queues, tasks, free_slots, pool from orchestrator.workers
              where stopped_at is null and not stopping
                and last_heartbeat_at > (select clock_timestamp()) - %(p)s * interval '1 s'),
            refused as (
              select a.id from orchestrator.attempts a
              where a.state = 'ready' and a.refused_at is not null and not a.withdrawn
                and exists (
                  select 1 from able k
                  where a.queue = any(k.queues) and a.task = any(k.tasks)
                    and (a.time_limit is null or k.pool = 'prefork')
                    and (
                      k.free_slots > 0
                      or a.published_at < (select clock_timestamp()) - %(p)s * interval '1 s'))
              order by a.refused_at limit %(n)s for update of a skip locked)
            update orchestrator.attempts a
            set published_at = clock_timestamp(), refused_at = null
            from refused r
            where a.id = r.id
            returning {_COLUMNS}
            """,
            {"p": republish_after, "n": limit},
        )
    )


def save_progress(session: Session, attempt: str, token: str, value: str) -> bool:
    """Store the progress that a running task reports (JSON text); False: the attempt is no longer
    its own, or was withdrawn."""
    row = session.one(
        """
        update orchestrator.attempts set progress = %s
        where id = %s and token = %s and state = 'claimed'
        returning not withdrawn
        """,
        (value, attempt, token),
    )
    return row is not None and bool(row[0])


def record_late_result(session: Session, attempt: str, state: str) -> None:
    """Record that a worker reported a result after the attempt had ended otherwise. The first such
    result stays; one that repeats how the attempt ended is none."""
    session.all(
        """
        update orchestrator.attempts set late_at = clock_timestamp(), late_state = %(state)s
        where id = %(attempt)s and state not in ('ready', 'claimed', 'succeeded', %(state)s)
          and late_at is null
        """,
        {"attempt": attempt, "state": state},
    )


def end_attempt(session: Session, attempt: str, state: str) -> None:
    """End an attempt whose result changed nothing, so that its lease ends too."""
    session.all(
        """
        update orchestrator.attempts set state = %s, ended_at = clock_timestamp()
        where id = %s and state in ('ready', 'claimed')
        """,
        (state, attempt),
    )
