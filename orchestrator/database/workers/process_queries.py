"""Which processes are alive: workers by their heartbeat, APIs and beats by an announcement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.database.connection.session import Session
from orchestrator.database.workers.liveness_queries import LIVE
from orchestrator.database.workers.worker_queries import OFFSET

#: How often an API or a beat announces itself, in seconds.
PERIOD = 10.0
#: Seconds since the last announcement for which a process counts as alive: two announcements may be
#: lost.
ALIVE = 3 * PERIOD


@dataclass(frozen=True, slots=True)
class Announced:
    """An API or a beat: `id` is new at every start, `kind` is ``api`` or ``beat``, `name` its
    host, `broker` a URL without a password."""

    id: str
    kind: str
    name: str
    pid: int
    broker: str | None


def announce(session: Session, process: Announced, clock: datetime) -> None:
    """Record that the process is alive, and how far its wall `clock` is ahead of that of
    Postgres."""
    session.all(
        f"""
        insert into orchestrator.processes (id, kind, name, pid, broker, clock_offset)
        values (%s, %s, %s, %s, %s, {OFFSET})
        on conflict (id) do update
        set seen_at = clock_timestamp(), clock_offset = excluded.clock_offset
        """,
        (process.id, process.kind, process.name, process.pid, process.broker, clock),
    )


def withdraw(session: Session, id: str) -> None:
    """Remove the row of a process that ends normally."""
    session.all("delete from orchestrator.processes where id = %s", (id,))


def purge(session: Session, days: float = 1.0) -> None:
    """Remove the rows of processes that were not announced for `days`."""
    session.all(
        """
        delete from orchestrator.processes
        where seen_at < clock_timestamp() - %s * interval '1 day'
        """,
        (days,),
    )


@dataclass(frozen=True, slots=True)
class Living:
    """A live process; `kind` is ``worker``, ``beat`` or ``api``.

    `clock_offset` in seconds, positive where its clock is ahead of that of Postgres; None: it is
    not known.
    """

    kind: str
    name: str
    app: str | None
    broker: str | None
    clock_offset: float | None
    queues: Sequence[str]
    tasks: Sequence[str]
    refused_queues: Mapping[str, str]


def living(session: Session, lease: float) -> list[Living]:
    """Return every live process, workers first. `lease` in seconds."""
    rows = session.all(
        f"""
        select 'worker', name, app, broker, clock_offset, queues, tasks, refused_queues
        from orchestrator.workers
        where {LIVE}
        union all
        select kind, name, null, broker, clock_offset, '{{}}', '{{}}', '{{}}'
        from orchestrator.processes
        where seen_at > clock_timestamp() - %(alive)s * interval '1 s'
        order by 1 desc, 2
        """,
        {"lease": lease, "alive": ALIVE},
    )
    return [Living(*row) for row in rows]


def offset(session: Session, clock: datetime) -> float:
    """Return by how many seconds a wall `clock` is ahead of the clock of Postgres."""
    row = session.one(f"select {OFFSET}::float8", (clock,))
    assert row is not None  # noqa: S101  it has no table
    return float(row[0])
