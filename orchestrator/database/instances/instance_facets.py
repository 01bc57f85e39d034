"""Numbers of instances by the values of facets, each counted up to a bound, in one statement."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.database.connection.json_parameters import member
from orchestrator.database.connection.session import Session
from orchestrator.database.instances.attention_filters import ATTENTION, WAITING_FOR, Attended
from orchestrator.database.instances.instance_filters import (
    TABLE,
    Filter,
    namespaces_of,
    parts_of,
)
from orchestrator.database.keyset_pages import IndexLevel, Scope, level_combinations, matching_ids

#: Largest number of instances counted for one value.
MOST = 1000
#: Most values of a facet.
MOST_VALUES = 20

_COMPENSATIONS = ("running", "completed", "failed", "none")
_PARAMETER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True)
class Facet:
    """How many instances have a value; at least this many where it is not `exact`. `title` is that
    of an error."""

    value: str
    count: int
    exact: bool
    title: str | None = None


def counted(
    session: Session, scope: Scope, chosen: Filter, names: Sequence[str]
) -> dict[str, list[Facet]]:
    """Return the counts of these facets. Each ignores the filter of its own name."""
    attended = Attended(session, chosen.lease)
    asked = [
        (name, value, filter)
        for name in names
        if name != "error"
        for value, filter in _values(session, scope, chosen, name)
    ]
    found = _counts(session, scope, [filter for _, _, filter in asked], attended)
    facets: dict[str, list[Facet]] = {name: [] for name in names}
    for (name, value, _), count in zip(asked, found, strict=True):
        facets[name].append(Facet(value, min(count, MOST), count <= MOST))
    if "error" in facets:
        facets["error"] = _errors(session, scope, replace(chosen, error_types=()), attended)
    return facets


def _values(
    session: Session, scope: Scope, chosen: Filter, name: str
) -> Iterator[tuple[str, Filter]]:
    """Yield the values of a facet, each with the filter that counts it."""
    if name == "attention":
        yield from ((value, replace(chosen, attention=(value,))) for value in ATTENTION)
    elif name == "waiting_for":
        yield from ((value, replace(chosen, waiting_for=(value,))) for value in WAITING_FOR)
    elif name == "compensation":
        yield from ((value, replace(chosen, compensations=(value,))) for value in _COMPENSATIONS)
    else:
        for namespace, workflow in _workflows(session, scope, replace(chosen, workflow=None)):
            which = (namespace, workflow, None)
            yield f"{namespace}/{workflow}", replace(chosen, workflow=which)


def _workflows(session: Session, scope: Scope, chosen: Filter) -> list[tuple[str, str]]:
    """Return the workflows that have instances, the first ones by name."""
    levels = [
        IndexLevel("namespace", namespaces_of(scope, chosen)),
        IndexLevel("workflow", None),
    ]
    source, params = level_combinations(TABLE, levels)
    rows = session.all(
        f"""
        select of_namespace.value, of_workflow.value from {source}
        order by 1, 2 limit {MOST_VALUES}
        """,
        params,
    )
    return [(row[0], row[1]) for row in rows]


def _counts(
    session: Session, scope: Scope, filters: Sequence[Filter], attended: Attended
) -> list[int]:
    """Return how many instances each filter has, counted up to one more than `MOST`."""
    if not filters:
        return []
    selects, params = [], {"most": MOST + 1}
    for number, filter in enumerate(filters):
        parts = parts_of(session, scope, filter, "created_at", attended=attended)
        sql, values = matching_ids(TABLE, parts, "created_at")
        sql, values = _renamed(sql, values, f"f{number}_")
        selects.append(f"(select count(*) from ({sql}) each)")
        params |= values
    row = session.one(f"select {', '.join(selects)}", params)
    return list(row or ())


def _renamed(sql: str, params: Mapping[str, Any], prefix: str) -> tuple[str, dict[str, Any]]:
    """Return a statement whose parameters have names of their own, except for `most`."""

    def rename(match: re.Match[str]) -> str:
        name = match[1]
        return match[0] if name not in params else f"%({prefix}{name})s"

    return _PARAMETER.sub(rename, sql), {f"{prefix}{name}": params[name] for name in params}


def _errors(session: Session, scope: Scope, chosen: Filter, attended: Attended) -> list[Facet]:
    """Return the most frequent errors among up to `MOST` failed instances."""
    more = [("error is not null", dict[str, Any]())]
    if not chosen.statuses:
        chosen = replace(chosen, statuses=("faulted", "cancelled"))
    parts = parts_of(session, scope, chosen, "created_at", more, attended)
    sql, params = matching_ids(TABLE, parts, "created_at")
    rows = session.all(
        f"""
        select orchestrator.error_type(i.error), min({member("i.error", "title")}), count(*),
          (select count(*) from ({sql}) every)
        from ({sql}) each join {TABLE} i using (id)
        where orchestrator.error_type(i.error) is not null
        group by 1 order by 3 desc, 1 limit {MOST_VALUES}
        """,
        {**params, "most": MOST},
    )
    return [Facet(type, count, every < MOST, title) for type, title, count, every in rows]
