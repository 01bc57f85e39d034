"""Conditions that every row must meet, each as a query for the rows that do not: part of the
consistency checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.database.connection.status_literals import ENDED, OPEN, UNSUSPENDED
from orchestrator.database.operations.consistency_checks import DRAINING, IN_MOTION, YOUNG
from orchestrator.database.schema.tables import metadata


def _ends(table: str, id: str, step: str) -> tuple[str, str]:
    return (
        f"{table}: status and time of the end disagree",
        f"""
        select {id}::text, {id}::text, {step}, json_build_object('status', t.status)
        from orchestrator.{table} t
        where (t.status in {ENDED}) <> (t.ended_at is not null)
        limit %(most)s
        """,
    )


#: Conditions on every row: ``(inconsistency, query)``.
_CONSISTENCY: tuple[tuple[str, str], ...] = (
    _ends("instances", "t.id", "null::int"),
    _ends("steps", "t.instance_id", "t.id"),
    (
        "attempts: state and time of the end disagree",
        """
        select t.id::text, t.instance_id::text, t.step, json_build_object('state', t.state)
        from orchestrator.attempts t
        where (t.state in ('ready', 'claimed')) = (t.ended_at is not null)
        limit %(most)s
        """,
    ),
    (
        "attempts: claimed by nobody",
        """
        select t.id::text, t.instance_id::text, t.step, json_build_object('state', t.state)
        from orchestrator.attempts t
        where t.state = 'claimed'
          and (t.worker is null or t.token is null or t.claimed_at is null)
        limit %(most)s
        """,
    ),
    (
        "attempts: several of one step are live",
        """
        select t.instance_id || ' step ' || t.step, t.instance_id::text, t.step,
          json_build_object('count', count(*))
        from orchestrator.attempts t
        where t.state in ('ready', 'claimed')
        group by t.instance_id, t.step
        having count(*) > 1
        limit %(most)s
        """,
    ),
    (
        "attempts: live, although their step has ended",
        f"""
        select t.id::text, t.instance_id::text, t.step, json_build_object('state', t.state)
        from orchestrator.attempts t
        join orchestrator.steps s on s.instance_id = t.instance_id and s.id = t.step
        where t.state in ('ready', 'claimed') and s.status in {ENDED} and t.created_at < {YOUNG}
        limit %(most)s
        """,
    ),
    (
        "steps: open in an instance that has ended",
        f"""
        select s.instance_id::text, s.instance_id::text, s.id,
          json_build_object('reference', s.reference)
        from orchestrator.steps s
        join orchestrator.instances i on i.id = s.instance_id
        where i.status in {ENDED} and i.compensation <> 'running' and s.status in {OPEN}
          and {DRAINING} is null and i.ended_at < {YOUNG}
        limit %(most)s
        """,
    ),
    (
        "steps: open, although the step around them has ended",
        f"""
        select s.instance_id::text, s.instance_id::text, s.id,
          json_build_object('reference', s.reference)
        from orchestrator.steps s
        join orchestrator.steps p on p.instance_id = s.instance_id and p.id = s.parent
        where p.status in {ENDED} and s.status in {OPEN} and {DRAINING} is null
        limit %(most)s
        """,
    ),
    (
        "instances: the counter of places is wrong",
        f"""
        select i.id::text, i.id::text, null::int,
          json_build_object('open', i.open_places, 'counted', n.leaves)
        from orchestrator.instances i
        cross join lateral (
          select count(*) as leaves from orchestrator.steps s
          where s.instance_id = i.id and s.open_children = 0 and s.status in {OPEN}) n
        where i.status in {UNSUSPENDED} and i.open_places <> n.leaves and not {IN_MOTION}
        limit %(most)s
        """,
    ),
    (
        "history: a transition is missing",
        """
        select i.id::text, i.id::text, null::int,
          json_build_object('sequence', i.sequence, 'rows', h.rows)
        from orchestrator.instances i
        cross join lateral (
          select count(*) as rows from orchestrator.history h
          where h.instance_id = i.id) h
        where h.rows <> i.sequence
        limit %(most)s
        """,
    ),
    (
        "timers: of a step or an instance that has ended",
        f"""
        select t.instance_id || ' ' || t.kind, t.instance_id::text, t.step,
          json_build_object('kind', t.kind)
        from orchestrator.timers t
        join orchestrator.instances i on i.id = t.instance_id
        left join orchestrator.steps s on s.instance_id = t.instance_id and s.id = t.step
        where t.created_at < {YOUNG}
          and case
            when t.step = 0 then i.status in {ENDED} and i.compensation <> 'running'
            else s.status in {ENDED} end
        limit %(most)s
        """,
    ),
)

#: Tables with a retention of their own: their rows may outlive the instance.
_OWN_RETENTION = frozenset({"events", "deliveries", "firings", "history", "event_offers"})


def _orphans() -> Iterator[tuple[str, str, str]]:
    """Yield the checks for rows without their instance or step: ``(inconsistency, query, statement
    that removes one)``. Derived from the tables, so that a new table is included."""
    for table in metadata.sorted_tables:
        name, columns = table.name, set(table.columns.keys())
        if name == "instances" or name in _OWN_RETENTION or "instance_id" not in columns:
            continue
        step = "t.step" if "step" in columns else "t.id" if name == "steps" else "null::int"
        yield _without_instance(name, step)
        if "step" in columns:
            yield _without_step(name)


def _without_instance(name: str, step_column: str) -> tuple[str, str, str]:
    return (
        f"{name}: of an instance that is not there",
        f"""
        select t.instance_id::text, t.instance_id::text, {step_column}, null::json
        from orchestrator.{name} t
        where not exists (select from orchestrator.instances i where i.id = t.instance_id)
        limit %(most)s
        """,
        f"""
        delete from orchestrator.{name}
        where instance_id = %(instance)s
          and not exists (select from orchestrator.instances i where i.id = instance_id)
        """,
    )


def _without_step(name: str) -> tuple[str, str, str]:
    return (
        f"{name}: of a step that is not there",
        f"""
        select t.instance_id || ' step ' || t.step, t.instance_id::text, t.step,
          null::json
        from orchestrator.{name} t
        join orchestrator.instances i on i.id = t.instance_id
        where t.step > 0
          and not exists (
            select from orchestrator.steps s
            where s.instance_id = t.instance_id and s.id = t.step)
        limit %(most)s
        """,
        f"""
        delete from orchestrator.{name} t
        where t.instance_id = %(instance)s and t.step = %(step)s
          and not exists (
            select from orchestrator.steps s
            where s.instance_id = t.instance_id and s.id = t.step)
        """,
    )


CONSISTENCY: Mapping[str, str] = dict(_CONSISTENCY)


ORPHANED_ROWS: Mapping[str, tuple[str, str]] = {
    inconsistency: (sql, remove) for inconsistency, sql, remove in _orphans()
}
