"""Filters of instances, as parts of a query that each have an index."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from string import hexdigits
from typing import Any

from orchestrator.core.model import OPEN_STATUSES, Status
from orchestrator.database.connection.session import Session
from orchestrator.database.instances.attention_filters import ATTENTION, WAITING_FOR, Attended
from orchestrator.database.keyset_pages import (
    Condition,
    IndexLevel,
    Part,
    Scope,
    equal,
    level_combinations,
    one_of,
)
from orchestrator.json_codec import dumps


@dataclass(frozen=True, slots=True)
class Filter:
    """Which instances to list; None or empty filters nothing.

    `workflow` is ``(namespace?, name, version?)``; all of `labels` must match; `text` is the
    beginning of an id or a business_id, or the name of a workflow; `id` is the beginning of an id;
    `attempt` is the id of an attempt; `parent` is the instance that awaits or awaited them; `ids`
    restricts to these. Each of `inputs` is a list of JSON texts, one of which the input must
    contain.
    """

    statuses: Sequence[str] = ()
    compensations: Sequence[str] = ()
    namespace: str | None = None
    workflow: tuple[str | None, str, str | None] | None = None
    business_id: str | None = None
    labels: Mapping[str, str] | None = None
    started_after: datetime | None = None
    started_before: datetime | None = None
    text: str | None = None
    id: str | None = None
    attempt: str | None = None
    ids: Sequence[str] | None = None
    inputs: Sequence[Sequence[str]] = ()
    parent: str | None = None
    #: See `attention_filters`; of `attention` and of `waiting_for` one must hold each.
    attention: Sequence[str] = ()
    waiting_for: Sequence[str] = ()
    error_types: Sequence[str] = ()
    #: Whether nothing of `attention_filters.ATTENTION` may hold.
    unattended: bool = False
    #: Seconds after which a worker without a heartbeat counts as gone, for `attention`.
    lease: float = 10.0


STATUSES = tuple(status.value for status in Status)

TABLE = "orchestrator.instances"


def parts_of(
    session: Session,
    scope: Scope,
    chosen: Filter,
    by: str,
    more: Sequence[Condition] = (),
    attended: Attended | None = None,
) -> list[Part]:
    """Return the filter in parts, each of which starts with an index. `attended`: what was read of
    `attention_filters` before."""
    parts = []
    chosen = _with_full_ids(session, chosen)
    for alternative, conditions in _attended(chosen, attended or Attended(session, chosen.lease)):
        parts += _parts_of(session, scope, alternative, by, [*more, *conditions])
    return parts


def _parts_of(
    session: Session, scope: Scope, chosen: Filter, by: str, more: Sequence[Condition]
) -> list[Part]:
    parts = []
    for meant in (
        _meanings_of_text(session, scope, chosen)
        if chosen.text
        else [_narrowed_to_ids(session, chosen)]
    ):
        levels = _levels(scope, meant, by)
        conditions = [*_conditions(meant, {level.column for level in levels}), *more]
        parts += [
            Part(levels, [*conditions, *started]) for started in _start_time_conditions(meant, by)
        ]
    return parts


def _with_full_ids(session: Session, chosen: Filter) -> Filter:
    """Replace an attempt, or the beginning of few ids, by full ids."""
    ids: set[str] | None = None
    if chosen.attempt:
        query = "select instance_id::text from orchestrator.attempts where id = %s"
        ids = {row[0] for row in session.all(query, (chosen.attempt,))}
    if chosen.id:
        query = f"select id::text from {TABLE} where {_BEGINNING} limit %(few)s"
        found = session.all(query, {**_beginning(chosen.id), "few": _FEW + 1})
        if len(found) <= _FEW:
            few = {row[0] for row in found}
            ids = few if ids is None else ids & few
            chosen = replace(chosen, id=None)
    return chosen if ids is None else replace(chosen, ids=tuple(ids))


def _attended(chosen: Filter, attended: Attended) -> list[tuple[Filter, list[Condition]]]:
    """Return the filter as alternatives without `attention` and `waiting_for`, each with conditions
    instead: those that few instances have together, by ids, and each of the others."""
    conditions: list[Condition] = []
    if chosen.unattended:
        conditions.append(_unattended(attended))
    alternatives = [(replace(chosen, attention=(), waiting_for=()), conditions)]
    for values in (chosen.attention, chosen.waiting_for):
        if values:
            alternatives = [
                (limited, [*before, *more])
                for filter, before in alternatives
                for limited, more in _alternatives(filter, values, attended)
            ]
    return alternatives


def _alternatives(
    chosen: Filter, values: Sequence[str], attended: Attended
) -> Iterator[tuple[Filter, list[Condition]]]:
    few: set[str] = set()
    for value in values:
        ids = attended.ids((value,))
        if ids is not None:
            few.update(ids)
        elif value == "held":
            statuses = {"faulted"} & set(chosen.statuses or STATUSES)
            compensations = {"none"} & set(chosen.compensations or ("none",))
            if statuses and compensations:
                yield replace(chosen, statuses=("faulted",), compensations=("none",)), []
        else:
            limited = chosen
            if value in _OF_OPEN:
                statuses = {*map(str, OPEN_STATUSES)} & set(chosen.statuses or STATUSES)
                limited = replace(chosen, statuses=tuple(sorted(statuses)))
            if limited.statuses or value not in _OF_OPEN:
                yield limited, [attended.condition((value,))]
    yield replace(chosen, ids=tuple(few if chosen.ids is None else few & set(chosen.ids))), []


def _unattended(attended: Attended) -> Condition:
    ids = attended.ids(tuple(ATTENTION))
    if ids is None:
        return attended.condition(tuple(ATTENTION), none=True)
    return "id <> all(%(attended)s::uuid[])", {"attended": list(ids)}


#: Filters that only open instances can pass.
_OF_OPEN = frozenset({*WAITING_FOR, "stuck", "retrying"})


def _levels(scope: Scope, chosen: Filter, by: str) -> list[IndexLevel]:
    """Return the columns by which the pages are merged: those of an index, so that a page is found
    at once at any position.

    Other conditions are left to the planner, which knows how many rows have a label.
    """
    levels = [IndexLevel("namespace", namespaces_of(scope, chosen))]
    if chosen.business_id or chosen.parent or chosen.ids is not None:
        return levels
    if chosen.error_types:
        types = IndexLevel("error_type", chosen.error_types, "orchestrator.error_type(error)")
        return [*levels, types] if by == "created_at" else levels
    if by == "started_at":
        return [*levels, IndexLevel("status", chosen.statuses or STATUSES)]
    if chosen.workflow and not chosen.labels:
        _, name, version = chosen.workflow
        levels += [
            IndexLevel("workflow", [name]),
            IndexLevel("version", [version] if version else None),
        ]
        return [*levels, IndexLevel("status", chosen.statuses or STATUSES)]
    if chosen.statuses:
        return [*levels, IndexLevel("status", chosen.statuses)]
    if chosen.compensations and "none" not in chosen.compensations and not chosen.labels:
        return [*levels, IndexLevel("compensation", chosen.compensations)]
    return levels


def namespaces_of(scope: Scope, chosen: Filter) -> list[str] | None:
    """Return the namespaces on which scope, namespace and workflow agree; None: all."""
    of_workflow = chosen.workflow[0] if chosen.workflow else None
    namespaces = {name for name in (chosen.namespace, of_workflow) if name is not None}
    if namespaces:
        return [name for name in namespaces if len(namespaces) == 1 and scope.has(name)]
    return None if scope.namespaces is None else list(scope.namespaces)


def _conditions(chosen: Filter, done: Collection[str]) -> list[Condition]:
    """Return all conditions except those of the levels in `done` and those on the start time."""
    conditions: list[Condition] = [
        one_of("status", chosen.statuses) if "status" not in done else None,
        # If the query selects by the index on `compensation`, add only the condition of this
        # partial index. It contains only instances with a compensation, and Postgres uses it only
        # for a query with the same condition.
        ("compensation <> 'none'", {})
        if "compensation" in done
        else one_of("compensation", chosen.compensations),
        *(_workflow_conditions(chosen.workflow) if "workflow" not in done else ()),
        equal("business_id", chosen.business_id),
        (
            "error is not null and orchestrator.error_type(error) = any(%(error_types)s)",
            {"error_types": list(chosen.error_types)},
        )
        if chosen.error_types
        else None,
        (_BEGINNING, _beginning(chosen.id)) if chosen.id else None,
        ("parent_instance = %(parent)s::uuid", {"parent": chosen.parent})
        if chosen.parent is not None
        else None,
        ("id = any(%(ids)s::uuid[])", {"ids": list(chosen.ids)})
        if chosen.ids is not None
        else None,
        *_label_and_input_conditions(chosen),
    ]
    if chosen.text:
        conditions.append(("business_id like %(begins)s", {"begins": _begins(chosen.text)}))
    return conditions


def _label_and_input_conditions(chosen: Filter) -> list[tuple[str, dict[str, Any]]]:
    """Return the conditions on labels and input."""
    labels = ("labels @> %(labels)s::jsonb", {"labels": dumps(dict(chosen.labels or {}))})
    inputs = [_contains(at, each) for at, each in enumerate(chosen.inputs)]
    return [*([labels] if chosen.labels else ()), *inputs]


def _contains(at: int, documents: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the condition that the input contains one of these documents, in the form that the
    index supports."""
    names = [f"input{at}_{each}" for each in range(len(documents))]
    any_of = " or ".join(
        f"orchestrator.searchable_json(input) @> %({name})s::jsonb" for name in names
    )
    return (f"({any_of})", dict(zip(names, documents, strict=True)))


#: An instance that starts this long after its creation is in an index of its own; all others are
#: found by their creation time.
_LATE = "started_at - created_at > interval '1 minute'"


def _start_time_conditions(chosen: Filter, by: str) -> list[list[Condition]]:
    """Return the conditions on the start time, for each part of the answer."""
    since, until = chosen.started_after, chosen.started_before
    before: Condition = ("started_at < %(until)s", {"until": until}) if until else None
    if by == "started_at":
        after = ("started_at > %(since)s", {"since": since}) if since else None
        return [[("started_at is not null", {}), before, after]]
    if until:
        # Also require that the instance was created before `until`, so that the index by creation
        # time bounds the search. This excludes no instance, because none starts before it is
        # created.
        before = ("started_at < %(until)s and created_at < %(until)s", {"until": until})
    if since is None:
        return [[before]]
    # The margin before `since` is one minute. Shorten it in the first minute of year 1, because
    # Python has no earlier time.
    margin = min(timedelta(minutes=1), since - datetime.min.replace(tzinfo=UTC))
    values = {"since": since, "almost": since - margin}
    return [
        [before, ("created_at >= %(almost)s and started_at > %(since)s", values)],
        [before, (f"created_at < %(almost)s and started_at > %(since)s and {_LATE}", values)],
    ]


#: The largest number of instances with a beginning of a business_id, or of an id, that are selected
#: by id.
_FEW = 2000


def _meanings_of_text(session: Session, scope: Scope, chosen: Filter) -> list[Filter]:
    """Return the meanings of the text: a workflow's name, the beginning of a business_id or of an
    id. Each uses another index."""
    text = chosen.text or ""
    rest = replace(chosen, text=None)
    meant = []
    if chosen.workflow is None or chosen.workflow[1] == text:
        meant.append(replace(rest, workflow=chosen.workflow or (None, text, None)))
    source, params = level_combinations(
        TABLE, [IndexLevel("namespace", namespaces_of(scope, chosen))]
    )
    params |= {"begins": _begins(text), "few": _FEW + 1}
    by_id = ""
    if _begins_an_id(text):
        of_id = f"select id from {TABLE} where {_BEGINNING} limit %(few)s"
        by_id = f"union select id::text from ({of_id}) f"
        params |= _beginning(text)
    ids = session.all(
        f"""
        select id::text from {source}
        cross join lateral (
          select id from {TABLE}
          where namespace = of_namespace.value and business_id like %(begins)s
          limit %(few)s) f
        {by_id}
        limit %(few)s
        """,
        params,
    )
    if len(ids) <= _FEW:
        few = [row[0] for row in ids if chosen.ids is None or row[0] in chosen.ids]
        return [*meant, replace(rest, ids=tuple(few))]
    return [*meant, chosen]


def _narrowed_to_ids(session: Session, chosen: Filter) -> Filter:
    """Return the filter by id where few instances have these labels and such an input: an index of
    their own finds them at any position."""
    contents = _label_and_input_conditions(chosen)
    if not contents or chosen.ids is not None:
        return chosen
    params: dict[str, Any] = {"few": _FEW + 1}
    for _, values in contents:
        params |= values
    query = f"select id::text from {TABLE} where {' and '.join(text for text, _ in contents)}"
    if _estimated(session, query, params) > 10 * _FEW:
        return chosen
    ids = session.all(f"{query} limit %(few)s", params)
    if len(ids) > _FEW:
        return chosen
    return replace(chosen, labels=None, inputs=(), ids=tuple(row[0] for row in ids))


def _estimated(session: Session, query: str, params: dict[str, Any]) -> float:
    """Return how many rows the planner expects for a query."""
    row = session.one(f"explain (format json) {query}", params)
    return float(row[0][0]["Plan"]["Plan Rows"]) if row else 0.0


def _begins(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


_ID_SHAPE = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"


#: The instances whose ids begin with a text: a range of the primary key.
_BEGINNING = "id between %(first)s and %(last)s"


def _beginning(text: str) -> dict[str, str]:
    rest = _ID_SHAPE[len(text) :]
    return {"first": text + rest.replace("x", "0"), "last": text + rest.replace("x", "f")}


def _begins_an_id(text: str) -> bool:
    return len(text) <= len(_ID_SHAPE) and all(
        character == "-" if shape == "-" else character in hexdigits
        for character, shape in zip(text, _ID_SHAPE, strict=False)
    )


def _workflow_conditions(
    workflow: tuple[str | None, str, str | None] | None,
) -> list[Condition]:
    if workflow is None:
        return []
    return [equal("workflow", workflow[1]), equal("version", workflow[2])]
