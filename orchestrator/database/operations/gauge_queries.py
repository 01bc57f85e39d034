"""Gauges for Prometheus from the tables: one statement each. None reads ended instances, history,
or rows that are not due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import OPEN
from orchestrator.database.workers.liveness_queries import LIVE


@dataclass(frozen=True, slots=True)
class Gauge:
    """A gauge with its values by labels."""

    name: str
    help: str
    labels: tuple[str, ...]
    values: Sequence[tuple[tuple[str, ...], float]]


#: One entry per statement: the SQL, its label columns, and a gauge for each column after them.
_QUERIES: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]], ...] = (
    (
        f"""
        select namespace, workflow, status, count(*)
        from orchestrator.instances
        where status in {OPEN}
        group by 1, 2, 3
        """,
        ("namespace", "workflow", "status"),
        (("orchestrator_instances", "Instances that have not ended."),),
    ),
    (
        """
        select namespace, workflow, count(*)
        from orchestrator.instances
        where compensation = 'running'
        group by 1, 2
        """,
        ("namespace", "workflow"),
        (("orchestrator_instances_compensating", "Instances that are being compensated."),),
    ),
    (
        f"""
        with waiting as (
          select queue, count(*) as count, min(created_at) as oldest
          from orchestrator.attempts
          where state = 'ready'
          group by queue),
        running as (
          select queue, count(*) as count from orchestrator.attempts
          where state = 'claimed'
          group by queue),
        served as (
          select queue, count(*) as workers, sum(concurrency) as slots, sum(free_slots) as free
          from orchestrator.workers, unnest(queues) as queue
          where {LIVE}
          group by queue)
        select coalesce(w.queue, r.queue, s.queue), coalesce(w.count, 0),
          coalesce(greatest(extract(epoch from clock_timestamp() - w.oldest), 0), 0),
          coalesce(r.count, 0), coalesce(s.workers, 0), coalesce(s.slots, 0), coalesce(s.free, 0)
        from waiting w
        full join running r on r.queue = w.queue
        full join served s on s.queue = coalesce(w.queue, r.queue)
        """,
        ("queue",),
        (
            ("orchestrator_queue_depth", "Attempts that no worker has claimed yet."),
            (
                "orchestrator_queue_oldest_attempt_seconds",
                "Age of the oldest unclaimed attempt: the signal to scale on.",
            ),
            ("orchestrator_queue_running", "Attempts that run."),
            ("orchestrator_queue_workers", "Live workers that serve the queue."),
            ("orchestrator_queue_slots", "Processes or threads of those workers."),
            ("orchestrator_queue_slots_free", "How many of those are idle."),
        ),
    ),
    (
        """
        select count(*), coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)
        from orchestrator.stimuli
        """,
        (),
        (
            ("orchestrator_inbox_depth", "Stimuli that are not applied yet."),
            ("orchestrator_inbox_oldest_seconds", "Age of the oldest of them."),
        ),
    ),
    (
        """
        select count(*), coalesce(extract(epoch from clock_timestamp() - min(due_at)), 0)
        from orchestrator.timers
        where due_at < (select clock_timestamp())
        """,
        (),
        (
            ("orchestrator_timers_overdue", "Timers that are due and have not fired."),
            ("orchestrator_timers_overdue_seconds", "How long the oldest of them is due."),
        ),
    ),
    (
        """
        select count(*), coalesce(extract(epoch from clock_timestamp() - min(next_fire_at)), 0)
        from orchestrator.schedules
        where state = 'active' and next_fire_at < (select clock_timestamp())
        """,
        (),
        (
            ("orchestrator_schedules_overdue", "Schedules that are due and have not fired."),
            ("orchestrator_schedules_overdue_seconds", "How long the oldest of them is due."),
        ),
    ),
    (
        """
        select count(*), coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)
        from (select created_at from orchestrator_outbox.starts order by id limit 10000) s
        """,
        (),
        (
            ("orchestrator_outbox_depth", "Submitted starts that wait to be started."),
            ("orchestrator_outbox_oldest_seconds", "Age of the oldest of them."),
        ),
    ),
    (
        """
        select namespace, reason, count(*)
        from orchestrator.dead_letters
        where resolved_at is null
        group by 1, 2
        """,
        ("namespace", "reason"),
        (
            (
                "orchestrator_dead_letters",
                "Dead letters: work that failed for good and waits for a person.",
            ),
        ),
    ),
    (
        "select count(*) from orchestrator.events where matched_at is null",
        (),
        (("orchestrator_events_unmatched", "Events that are not matched yet."),),
    ),
    (
        """
        select count(*), coalesce(extract(epoch from clock_timestamp() - min(next_at)), 0)
        from orchestrator.deliveries
        where state = 'pending' and next_at < (select clock_timestamp())
        """,
        (),
        (
            ("orchestrator_deliveries_overdue", "Deliveries that are due and not sent."),
            ("orchestrator_deliveries_overdue_seconds", "How long the oldest is due."),
        ),
    ),
    (
        f"""
        select case when not ({LIVE}) then 'silent' when stopping then 'stopping' else 'live' end,
          count(*)
        from orchestrator.workers
        where stopped_at is null
        group by 1
        """,
        ("state",),
        (("orchestrator_workers", "Workers that have not stopped normally, by state."),),
    ),
    (
        "select version_num, 1 from orchestrator.schema_version",
        ("schema",),
        (("orchestrator_schema_info", "The version of the database's schema."),),
    ),
)


def read(session: Session, lease: float) -> list[Gauge]:
    """Return every gauge with its present values. `lease` in seconds."""
    return [
        gauge
        for statement, labels, gauges in _QUERIES
        for gauge in _gauges(session.all(statement, {"lease": lease}), labels, gauges)
    ]


def _gauges(
    rows: Sequence[tuple[Any, ...]], labels: tuple[str, ...], gauges: Sequence[tuple[str, str]]
) -> list[Gauge]:
    n = len(labels)
    return [
        Gauge(name, text, labels, [(row[:n], float(row[n + column])) for row in rows])
        for column, (name, text) in enumerate(gauges)
    ]
