"""Versions that a program has deployed (``metadata.generated``): removed once nobody uses them.

Theory of operation. A removal must leave no instance without its document, and it locks no table.
So a version that no instance has used for `UNUSED_FOR` is first *retired*: it is found by name no
more, and starts refuse it. Transactions that had begun before may still start an instance. When
the last of them has ended, and no instance was started, the version is deleted. Deploying it again
in between, or an instance that was started after all, takes it back.
"""

from __future__ import annotations

from orchestrator.database.connection.session import Session
from orchestrator.database.workflows.workflow_queries import NEEDED

#: How long no instance has run, and nobody has deployed the version, until it is retired.
UNUSED_FOR = "7 days"
#: How long a version stays retired at least. A backend whose activity this role may not see has
#: ended its transaction by then.
RETIRED_FOR = "1 hour"
#: Versions that one call retires, and deletes, at most.
BATCH = 500

_SAME = "i.namespace = w.namespace and i.workflow = w.name and i.version = w.version"


def retire(session: Session) -> int:
    """Retire a batch of versions that nobody uses; return how many."""
    rows = session.all(
        f"""
        update orchestrator.workflows set retired_at = clock_timestamp()
        where id in (
          select w.id from orchestrator.workflows w
          where w.generated and w.retired_at is null
            and w.last_deployed_at < clock_timestamp() - interval '{UNUSED_FOR}'
            and not exists (
              select from orchestrator.instances i
              where {_SAME} and (
                greatest(i.created_at, i.ended_at) > clock_timestamp() - interval '{UNUSED_FOR}'
                or {NEEDED}))
          limit %s)
        returning 1
        """,
        (BATCH,),
    )
    return len(rows)


def remove_retired(session: Session) -> int:
    """Delete a batch of retired versions, and take back those that an instance has used since they
    were retired; return how many were deleted."""
    session.all(
        f"""
        update orchestrator.workflows w set retired_at = null, last_deployed_at = clock_timestamp()
        where w.retired_at is not null and exists (
          select from orchestrator.instances i
          where {_SAME} and (i.created_at > w.retired_at - interval '1 hour' or {NEEDED}))
        """
    )
    rows = session.all(
        """
        delete from orchestrator.workflows w
        where w.id in (
            select o.id from orchestrator.workflows o
            where o.retired_at < clock_timestamp() - %s::interval
            order by o.retired_at limit %s)
          and not exists (
            select from pg_stat_activity a
            where a.datname = current_database() and a.xact_start <= w.retired_at)
        returning 1
        """,
        (RETIRED_FOR, BATCH),
    )
    return len(rows)


def renew(session: Session, id: str) -> None:
    """Take a generated version back if it is retired, and remember that somebody deployed it. At
    most one write a day."""
    session.all(
        """
        update orchestrator.workflows set retired_at = null, last_deployed_at = clock_timestamp()
        where id = %s and generated
          and (retired_at is not null or last_deployed_at < clock_timestamp() - interval '1 day')
        """,
        (id,),
    )
