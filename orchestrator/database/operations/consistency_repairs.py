"""Statements that repair inconsistent rows; each checks again, so that a row that changed since
stays."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import ENDED, OPEN
from orchestrator.database.operations.consistency_checks import Row

#: By inconsistency (`consistency_conditions.CONSISTENCY`): the statement that repairs one row.
STATEMENTS = {
    "instances: status and time of the end disagree": f"""
        update orchestrator.instances
        set ended_at = case when status in {ENDED} then clock_timestamp() end
        where id = %(instance)s and (status in {ENDED}) <> (ended_at is not null)
    """,
    "steps: status and time of the end disagree": f"""
        update orchestrator.steps
        set ended_at = case when status in {ENDED} then clock_timestamp() end
        where instance_id = %(instance)s and id = %(step)s
          and (status in {ENDED}) <> (ended_at is not null)
    """,
    "attempts: state and time of the end disagree": """
        update orchestrator.attempts
        set ended_at = case when state not in ('ready', 'claimed') then clock_timestamp() end
        where id = %(subject)s
    """,
    "attempts: claimed by nobody": """
        update orchestrator.attempts
        set state = 'ready', worker = null, process = null, token = null, claimed_at = null
        where id = %(subject)s and state = 'claimed'
          and (worker is null or token is null or claimed_at is null)
    """,
    # Withdraw each ready attempt whose step also has a claimed attempt or a newer ready attempt: it
    # would never start. The claimed or newest attempt stays, since the step may refer to it.
    "attempts: several of one step are live": """
        update orchestrator.attempts a
        set state = 'withdrawn', withdrawn = true, ended_at = clock_timestamp()
        where a.instance_id = %(instance)s and a.step = %(step)s and a.state = 'ready'
          and exists (
            select from orchestrator.attempts o
            where o.instance_id = a.instance_id and o.step = a.step and o.id <> a.id
              and (o.state = 'claimed' or (o.state = 'ready' and o.number > a.number)))
    """,
    "attempts: live, although their step has ended": """
        update orchestrator.attempts
        set state = case state when 'ready' then 'withdrawn' else 'lost' end, withdrawn = true,
          ended_at = clock_timestamp()
        where id = %(subject)s and state in ('ready', 'claimed')
    """,
    "steps: open in an instance that has ended": f"""
        update orchestrator.steps set status = 'cancelled', ended_at = clock_timestamp()
        where instance_id = %(instance)s and id = %(step)s and status in {OPEN}
    """,
    "timers: of a step or an instance that has ended": (
        "delete from orchestrator.timers where instance_id = %(instance)s and step = %(step)s"
    ),
}

#: Removes a listener whose instance or step has ended, with its index entries.
LISTENER = """
with deleted as (
  delete from orchestrator.listeners
  where instance_id = %(instance)s and step = %(step)s)
delete from orchestrator.listener_index
where instance_id = %(instance)s and step = %(step)s
"""


def run(session: Session, statement: str, row: Row) -> None:
    """Repair one row."""
    session.all(statement, {"subject": row.subject, "instance": row.instance, "step": row.step})


def record_served_queue(session: Session, worker: str, queue: str) -> None:
    """Record that a live worker was told to serve a queue, so that no other doctor tells it
    again."""
    session.all(
        """
        update orchestrator.workers set queues = array_append(queues, %(queue)s)
        where name = %(worker)s and stopped_at is null and not %(queue)s = any(queues)
        """,
        {"worker": worker, "queue": queue},
    )


def heartbeat_count(session: Session, worker: str) -> int | None:
    """Return how many heartbeats a worker has sent; None: the worker is unknown."""
    row = session.one("select heartbeat_count from orchestrator.workers where id = %s", (worker,))
    return row[0] if row else None


def with_pending_stimuli(session: Session, instances: Sequence[str]) -> list[str]:
    """Return those of the instances with a stimulus of the doctor or of a lost attempt in the
    inbox."""
    rows = session.all(
        """
        select distinct instance_id::text from orchestrator.stimuli
        where instance_id = any(%s::uuid[]) and (key like 'doctor:%%' or key like 'lost:%%')
        """,
        (list(instances),),
    )
    return [row[0] for row in rows]
