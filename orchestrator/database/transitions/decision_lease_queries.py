"""Leases on the decisions of instances, for decisions that take long."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.database.connection.session import Session

#: Ends a lease in the transaction of the save. Parameters: the instance and the token.
END_LEASE = "delete from orchestrator.decision_leases where instance_id = %s and token = %s"

#: The table is unlogged, and losing a count is harmless: nothing waits for the disk.
_NO_FLUSH = "select set_config('synchronous_commit', 'off', true); "


def take(
    session: Session,
    instance: str,
    stimulus: int,
    token: str,
    worker: str | None,
    process: int | None,
    seconds: float,
) -> tuple[bool, int | None]:
    """Take the lease for so many seconds, and count that the stimulus's decision was begun.

    Return whether it was taken, and how often the decision was begun (None: the stimulus is gone).
    """
    row = session.one(
        f"""
        {_NO_FLUSH}
        with taken as (
          insert into orchestrator.decision_leases as l
            (instance_id, token, worker, process, expires_at)
          values (%s, %s, %s, %s, clock_timestamp() + %s * interval '1 s')
          on conflict (instance_id) do update
          set token = excluded.token, worker = excluded.worker, process = excluded.process,
            expires_at = excluded.expires_at
          where l.expires_at < clock_timestamp() or l.token = excluded.token
          returning 1),
        begun as (
          update orchestrator.stimuli set begun = begun + 1
          where id = %s and exists (select from taken)
          returning begun)
        select exists (select from taken), (select begun from begun)
        """,
        (instance, token, worker, process, seconds, stimulus),
    )
    assert row is not None  # noqa: S101  a select without a from has a row
    return row[0], row[1]


def end(session: Session, instance: str, stimulus: int, token: str) -> None:
    """End a lease without a save: the stimulus's decision was not begun."""
    session.all(
        f"""
        {_NO_FLUSH}
        with ended as ({END_LEASE} returning 1)
        update orchestrator.stimuli set begun = begun - 1
        where id = %s and begun > 0 and exists (select from ended)
        """,
        (instance, token, stimulus),
    )


def end_of_process(session: Session, worker: str, process: int) -> list[str]:
    """End the leases of a process that is lost. Return their instances."""
    rows = session.all(
        """
        delete from orchestrator.decision_leases where worker = %s and process = %s
        returning instance_id::text
        """,
        (worker, process),
    )
    return [row[0] for row in rows]


def renew(session: Session, worker: str, instances: Sequence[str], seconds: float) -> None:
    """Renew a worker's leases on the decisions of these instances."""
    session.all(
        f"""
        {_NO_FLUSH}
        update orchestrator.decision_leases
        set expires_at = clock_timestamp() + %s * interval '1 s'
        where worker = %s and instance_id = any(%s::uuid[])
        """,
        (seconds, worker, list(instances)),
    )


def purge(session: Session) -> None:
    """Delete leases that have expired."""
    session.all("delete from orchestrator.decision_leases where expires_at < clock_timestamp()")
