"""Trees of instances: all that one instance has started, directly or not, by `run` or by an event.

The starts below the second generation are counted, so that a workflow that starts itself ends: the
children of an instance are its own affair, and as many as it likes.
"""

from __future__ import annotations

from orchestrator.database.connection.session import Session

#: Largest number of starts in one tree and hour, those by its root not counted.
MAX_STARTS = 20_000

_IS_OLD = "t.since < clock_timestamp() - interval '1 hour'"


def may_start(session: Session, root: str) -> bool:
    """Whether the tree of this root may start another instance now."""
    row = session.one(
        f"""
        select t.started < %s or {_IS_OLD}
        from orchestrator.instance_trees t
        where t.root_id = %s
        """,
        (MAX_STARTS, root),
    )
    return row is None or bool(row[0])


def inherit(session: Session, source: str, started: str) -> bool:
    """Make an instance that an event of the instance `source` has started part of its tree. Return
    whether the tree may have it. One that has begun already is left as it is."""
    row = session.one(
        f"""
        with source as (
          select coalesce(i.state->'tree'->>'root', i.id::text)::uuid as root,
            coalesce((i.state->'tree'->>'generation')::int, 0) + 1 as generation
          from orchestrator.instances i
          where i.id = %s),
        changed as (
          update orchestrator.instances i
          set state = json_build_object(
            'tree', json_build_object('root', s.root, 'generation', s.generation))
          from source s
          where i.id = %s and i.sequence = 0 and i.state is null),
        counted as (
          insert into orchestrator.instance_trees as t (root_id, started, since)
          select s.root, 1, clock_timestamp() from source s where s.generation > 1
          on conflict (root_id) do update
          set started = case when {_IS_OLD} then 1 else t.started + 1 end,
            since = case when {_IS_OLD} then excluded.since else t.since end
          returning started)
        select started <= %s from counted
        """,
        (source, started, MAX_STARTS),
    )
    return row is None or bool(row[0])


def purge(session: Session) -> None:
    """Delete the counts of trees that start nothing any more."""
    session.all(f"delete from orchestrator.instance_trees t where {_IS_OLD}")
