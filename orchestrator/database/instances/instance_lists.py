"""Lists and counts of instances; their cost depends on the rows shown, not on the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.database.connection.session import Session
from orchestrator.database.instances.attention_filters import ATTENTION
from orchestrator.database.instances.instance_filters import STATUSES, TABLE, Filter, parts_of
from orchestrator.database.instances.instance_queries import summary_of
from orchestrator.database.keyset_pages import (
    Condition,
    Page,
    Scope,
    counted_by,
    level_combinations,
    matching,
    page_by,
)


def listed(
    session: Session,
    scope: Scope,
    chosen: Filter,
    *,
    by: str = "created_at",
    descending: bool = True,
    limit: int = 50,
    after: Sequence[Any] | None = None,
    more: Sequence[Condition] = (),
) -> Page:
    """Return instances in the order of a time, `created_at` or `started_at`; rows are ``(time, id,
    *Summary)``.

    In the order of `started_at` only instances that have started are listed. `more` are conditions
    besides those of the filter.
    """
    return page_by(
        session,
        f"{by}, id::text, {summary_of('found')}",
        TABLE,
        parts_of(session, scope, chosen, by, more),
        order=(by, "id"),
        descending=descending,
        limit=limit,
        after=after,
    )


def matching_count(
    session: Session, scope: Scope, chosen: Filter, most: int, more: Sequence[Condition] = ()
) -> int:
    """Return how many instances `listed` would list, counted up to `most`."""
    return counted_by(session, TABLE, parts_of(session, scope, chosen, "created_at", more), most)


def by_attention(
    session: Session,
    scope: Scope,
    chosen: Filter,
    *,
    limit: int = 50,
    after: Sequence[Any] | None = None,
) -> Page:
    """Return instances as `listed` does: those first that a person should look at, then the others,
    each the newest first. The values of the last row begin with 0 or 1: with which of both."""
    rest = int(after[0]) if after else 0
    beyond = after[1:] if after else None
    if chosen.attention:  # whoever is chosen has some
        page = listed(session, scope, chosen, limit=limit, after=beyond)
        return Page(page.rows, page.last and [0, *page.last])
    rows: list[tuple[Any, ...]] = []
    if rest == 0:
        first = replace(chosen, attention=tuple(ATTENTION))
        page = listed(session, scope, first, limit=limit, after=beyond)
        if page.last is not None:
            return Page(page.rows, [0, *page.last])
        rows, beyond = page.rows, None
    if len(rows) == limit:
        return Page(rows, [0, *rows[-1][:2]])
    others = replace(chosen, unattended=True)
    page = listed(session, scope, others, limit=limit - len(rows), after=beyond)
    return Page([*rows, *page.rows], page.last and [1, *page.last])


@dataclass(frozen=True, slots=True)
class Count:
    """How many instances have a status; at least this many where it is not `exact`."""

    status: str
    count: int
    exact: bool


def count_by_status(session: Session, scope: Scope, chosen: Filter) -> list[Count]:
    """Return how many instances have each status, counted up to 10,000 each (1,000 with a filter by
    labels, for which each row must be read): the cost does not grow with the table."""
    most = 1000 if chosen.labels else 10_000
    by = "started_at" if chosen.started_after or chosen.started_before else "created_at"
    selects = []
    params: dict[str, Any] = {"most": most + 1, "all": list(chosen.statuses or STATUSES)}
    for number, part in enumerate(parts_of(session, scope, chosen, by)):
        levels = [each for each in part.levels if each.column != "status"]
        source, values = level_combinations(TABLE, levels, f"{number}_")
        where = [f"{matching(levels)} and status = s.status"]
        for condition in part.conditions:
            if condition:
                where.append(condition[0])
                values |= condition[1]
        selects.append(
            f"""
            (
              select id from {source}
              cross join lateral (
                select id from {TABLE}
                where {" and ".join(where)}
                order by {by} desc limit %(most)s) found)
            """
        )
        params |= values
    # With a search text, one instance may match several of the selects. So combine the selects by
    # `union`, which counts the instance once. Without a search text, `union all` is enough and
    # faster.
    either = (" union " if chosen.text else " union all ").join(selects)
    rows = session.all(
        f"""
        select s.status, (select count(*) from (select from ({either}) one limit %(most)s) every)
        from unnest(%(all)s::text[]) with ordinality as s(status, place)
        order by place
        """,
        params,
    )
    return [Count(row[0], min(row[1], most), row[1] <= most) for row in rows]
