"""Workers: who lives, what each has in hand. A heartbeat is one statement a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.database.connection.session import Session
from orchestrator.json_codec import dumps

#: Seconds that a process's wall clock, a parameter, is ahead of the clock of Postgres, as SQL.
OFFSET = "extract(epoch from %s::timestamptz - clock_timestamp())"


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One incarnation of a worker: `id` is new at every start. `app` is what `celery -A` was
    given, None where `orchestrator worker` started it; `broker` a URL without a password."""

    id: str
    name: str
    pid: int
    pool: str
    concurrency: int
    queues: Sequence[str]
    tasks: Sequence[str]
    app: str | None = None
    broker: str | None = None


def register(session: Session, worker: WorkerRow) -> None:
    """Make the worker known; repeating it is harmless."""
    session.all(
        """
        insert into orchestrator.workers
          (id, name, pid, pool, concurrency, queues, tasks, free, app, broker)
        values (%s, %s, %s, %s, %s, %s::text[], %s::text[], %s, %s, %s)
        on conflict (id) do update
        set queues = excluded.queues, tasks = excluded.tasks, stopped_at = null
        """,
        (
            worker.id,
            worker.name,
            worker.pid,
            worker.pool,
            worker.concurrency,
            list(worker.queues),
            list(worker.tasks),
            worker.concurrency,
            worker.app,
            worker.broker,
        ),
    )


def heartbeat(
    session: Session,
    worker: str,
    held: Sequence[str],
    free: int,
    received: bool = False,
    stopping: bool = False,
    counts: Mapping[str, int] | None = None,
    clock: datetime | None = None,
) -> bool:
    """Count the worker's beat up and say what it has in hand and how many slots are free.

    `received`: a message came in since the last beat. `counts`: what it has counted since its
    start. `clock`: the worker's wall clock, to be compared with that of Postgres. False where the
    row is gone, so that the worker registers anew.
    """
    row = session.one(
        f"""
        update orchestrator.workers
        set beat = beat + 1, held = %s::uuid[], free = %s,
          received_at = case when %s then clock_timestamp() else received_at end, stopping = %s,
          counts = coalesce(%s, counts), seen_at = clock_timestamp(),
          clock_offset = coalesce({OFFSET}, clock_offset), stopped_at = null
        where id = %s
        returning beat
        """,
        (
            list(held),
            free,
            received,
            stopping,
            None if counts is None else dumps(dict(counts)),
            clock,
            worker,
        ),
    )
    return row is not None


def stop(session: Session, worker: str) -> None:
    """The worker ends in order: it has nothing in hand."""
    session.all(
        """
        update orchestrator.workers set stopped_at = clock_timestamp(), held = '{}', free = 0
        where id = %s
        """,
        (worker,),
    )


@dataclass(frozen=True, slots=True)
class ClaimedAttemptRow:
    """A claimed attempt as the watchdog sees it; `beat` is None where its worker is unknown
    or stopped; `held`: the worker's last beat says that it has the attempt in hand."""

    attempt: str
    instance: str
    step: int
    worker: str | None
    heartbeat_count: int | None
    in_flight: bool


def claimed(session: Session) -> list[ClaimedAttemptRow]:
    """Every claimed attempt, with the beat of its worker."""
    rows = session.all(
        """
        select a.id::text, a.instance_id::text, a.step, a.worker::text,
          case when w.stopped_at is null then w.beat end, coalesce(a.id = any(w.held), false)
        from orchestrator.attempts a
        left join orchestrator.workers w on w.id = a.worker
        where a.state = 'claimed'
        """
    )
    return [ClaimedAttemptRow(*row) for row in rows]


def of_process(session: Session, worker: str, process: int) -> list[tuple[str, str, int]]:
    """The claimed attempts of one process: (attempt, instance, step)."""
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
    """Forget workers that stopped, or were last seen, so long ago that nobody asks."""
    session.all(
        """
        delete from orchestrator.workers w
        where coalesce(stopped_at, seen_at) < clock_timestamp() - %s * interval '1 day'
          and not exists (
            select 1 from orchestrator.attempts a
            where a.worker = w.id and a.state = 'claimed')
        """,
        (days,),
    )
