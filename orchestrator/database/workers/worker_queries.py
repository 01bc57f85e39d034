"""Workers: which are alive, and their attempts in flight. A heartbeat is one statement per
worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.database.connection.session import Session
from orchestrator.json_codec import dumps

#: Seconds by which a process's wall clock, a parameter, is ahead of the clock of Postgres, as SQL.
OFFSET = "extract(epoch from %s::timestamptz - clock_timestamp())"


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One start of a worker: `id` is new at every start.

    `app` is the argument of ``celery -A``, None for `orchestrator worker`; `broker` is a URL
    without a password. `refused_queues`: those whose steps it cannot take, with the broker's
    reasons.
    """

    id: str
    name: str
    pid: int
    pool: str
    concurrency: int
    queues: Sequence[str]
    tasks: Sequence[str]
    app: str | None = None
    broker: str | None = None
    refused_queues: Mapping[str, str] = field(default_factory=dict)


def register(session: Session, worker: WorkerRow) -> None:
    """Add the worker; repeating it is harmless."""
    session.all(
        """
        insert into orchestrator.workers
          (id, name, pid, pool, concurrency, queues, tasks, refused_queues, free_slots, app, broker)
        values (%(id)s, %(name)s, %(pid)s, %(pool)s, %(concurrency)s, %(queues)s::text[],
          %(tasks)s::text[], %(refused_queues)s, %(concurrency)s, %(app)s, %(broker)s)
        on conflict (id) do update
        set queues = excluded.queues, tasks = excluded.tasks,
          refused_queues = excluded.refused_queues, stopped_at = null
        """,
        {
            "id": worker.id,
            "name": worker.name,
            "pid": worker.pid,
            "pool": worker.pool,
            "concurrency": worker.concurrency,
            "queues": list(worker.queues),
            "tasks": list(worker.tasks),
            "refused_queues": dumps(dict(worker.refused_queues)),
            "app": worker.app,
            "broker": worker.broker,
        },
    )


def heartbeat(
    session: Session,
    worker: str,
    in_flight: Sequence[str],
    free_slots: int,
    received: bool = False,
    stopping: bool = False,
    counters: Mapping[str, int] | None = None,
    clock: datetime | None = None,
) -> bool:
    """Count a heartbeat, and store the attempts in flight and the number of free slots.

    `received`: a message came in since the last heartbeat. `counters`: the worker's counters since
    its start. `clock`: the worker's wall clock, to be compared with that of Postgres. False where
    the row is gone, so that the worker must register again.
    """
    row = session.one(
        f"""
        update orchestrator.workers
        set heartbeat_count = heartbeat_count + 1, in_flight = %s::uuid[], free_slots = %s,
          received_at = case when %s then clock_timestamp() else received_at end, stopping = %s,
          counters = coalesce(%s, counters), last_heartbeat_at = clock_timestamp(),
          clock_offset = coalesce({OFFSET}, clock_offset), stopped_at = null
        where id = %s
        returning heartbeat_count
        """,
        (
            list(in_flight),
            free_slots,
            received,
            stopping,
            None if counters is None else dumps(dict(counters)),
            clock,
            worker,
        ),
    )
    return row is not None


def stop(session: Session, worker: str) -> None:
    """Record that the worker has stopped normally: it has no attempts in flight."""
    session.all(
        """
        update orchestrator.workers
        set stopped_at = clock_timestamp(), in_flight = '{}', free_slots = 0
        where id = %s
        """,
        (worker,),
    )


@dataclass(frozen=True, slots=True)
class ClaimedAttemptRow:
    """A claimed attempt as the lease watchdog sees it.

    `heartbeat_count` is None where its worker is unknown or stopped; `in_flight`: the worker's last
    heartbeat named the attempt.
    """

    attempt: str
    instance: str
    step: int
    worker: str | None
    heartbeat_count: int | None
    in_flight: bool


def claimed(session: Session) -> list[ClaimedAttemptRow]:
    """Return every claimed attempt, with the heartbeat count of its worker."""
    rows = session.all(
        """
        select a.id::text, a.instance_id::text, a.step, a.worker::text,
          case when w.stopped_at is null then w.heartbeat_count end,
          coalesce(a.id = any(w.in_flight), false)
        from orchestrator.attempts a
        left join orchestrator.workers w on w.id = a.worker
        where a.state = 'claimed'
        """
    )
    return [ClaimedAttemptRow(*row) for row in rows]


def of_process(session: Session, worker: str, process: int) -> list[tuple[str, str, int]]:
    """Return the claimed attempts of one process: ``(attempt, instance, step)``."""
    return [
        (row[0], row[1], row[2])
        for row in session.all(
            """
            select id::text, instance_id::text, step
            from orchestrator.attempts
            where state = 'claimed' and worker = %s and process = %s
            """,
            (worker, process),
        )
    ]


def purge_workers(session: Session, days: float = 1.0) -> None:
    """Remove workers that stopped, or sent their last heartbeat, `days` ago, and have no claimed
    attempt."""
    session.all(
        """
        delete from orchestrator.workers w
        where coalesce(stopped_at, last_heartbeat_at) < clock_timestamp() - %s * interval '1 day'
          and not exists (
            select 1 from orchestrator.attempts a
            where a.worker = w.id and a.state = 'claimed')
        """,
        (days,),
    )
