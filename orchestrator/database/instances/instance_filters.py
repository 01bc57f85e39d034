"""By what instances are chosen: a filter as parts of a query that each have an index."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from string import hexdigits
from typing import Any

from orchestrator.core.model import Status
from orchestrator.database.connection.session import Session
from orchestrator.database.keyset_pages import Condition, IndexLevel, Part, Scope, groups
from orchestrator.json_codec import dumps


@dataclass(frozen=True, slots=True)
class Filter:
    """Which instances to list; what is None or empty filters nothing.

    `workflow` is ``(namespace?, name, version?)``; `labels` must all be there; `text` is the
    beginning of an id or a business_id, or the name of a workflow; `id` is the beginning of an
    id, `attempt` the id of one of its attempts; `parent` is the instance that awaits them, or has
    awaited them; `ids` are some to choose of; each of `inputs` is alternatives of JSON text one of
    which the input contains.
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


STATUSES = tuple(status.value for status in Status)

TABLE = "orchestrator.instances"


def parts_of(
    session: Session, scope: Scope, chosen: Filter, by: str, more: Sequence[Condition] = ()
) -> list[Part]:
    """What is asked for, in parts that each have an index to begin with."""
    parts = []
    chosen = _identified(session, chosen)
    for meant in _meant(session, scope, chosen) if chosen.text else [_narrowed(session, chosen)]:
        levels = _levels(scope, meant, by)
        conditions = [*_conditions(meant, {level.column for level in levels}), *more]
        if not levels:
            conditions.append(_in("namespace", namespaces_of(scope, meant)))
        parts += [Part(levels, [*conditions, *started]) for started in _started(meant, by)]
    return parts


def _identified(session: Session, chosen: Filter) -> Filter:
    """The same by whole ids, where it is by an attempt or by the beginning of few ids."""
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


def _levels(scope: Scope, chosen: Filter, by: str) -> list[IndexLevel]:
    """By which columns the pages are put together: those that an index has, so that what is
    asked for is found at once wherever it stands. What else is asked for is left to the
    planner, which knows how many rows have a label."""
    levels = [IndexLevel("namespace", namespaces_of(scope, chosen))]
    if chosen.business_id or chosen.parent or chosen.ids is not None:
        return levels
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
    """Those that everything asked for agrees on; None: all."""
    of_workflow = chosen.workflow[0] if chosen.workflow else None
    asked = {name for name in (chosen.namespace, of_workflow) if name is not None}
    if asked:
        return [name for name in asked if len(asked) == 1 and scope.has(name)]
    return None if scope.namespaces is None else list(scope.namespaces)


def _conditions(chosen: Filter, done: Collection[str]) -> list[Condition]:
    """All that is asked for, but what the levels `done` see to, and when they started."""
    conditions: list[Condition] = [
        _in("status", chosen.statuses) if "status" not in done else None,
        # Its index leaves out those that have none, which the planner must be told of.
        ("compensation <> 'none'", {})
        if "compensation" in done
        else _in("compensation", chosen.compensations),
        *(_workflow(chosen.workflow) if "workflow" not in done else ()),
        _is("business_id", chosen.business_id),
        (_BEGINNING, _beginning(chosen.id)) if chosen.id else None,
        ("parent_instance = %(parent)s::uuid", {"parent": chosen.parent})
        if chosen.parent is not None
        else None,
        ("id = any(%(ids)s::uuid[])", {"ids": list(chosen.ids)})
        if chosen.ids is not None
        else None,
        *_contents(chosen),
    ]
    if chosen.text:
        conditions.append(("business_id like %(begins)s", {"begins": _begins(chosen.text)}))
    return conditions


def _contents(chosen: Filter) -> list[tuple[str, dict[str, Any]]]:
    """What the labels and the input must have in them."""
    labels = ("labels @> %(labels)s::jsonb", {"labels": dumps(dict(chosen.labels or {}))})
    inputs = [_contains(at, each) for at, each in enumerate(chosen.inputs)]
    return [*([labels] if chosen.labels else ()), *inputs]


def _contains(at: int, documents: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """One of these within the input: a form that an index on its containment serves."""
    names = [f"input{at}_{each}" for each in range(len(documents))]
    any_of = " or ".join(
        f"orchestrator.searchable_json(input) @> %({name})s::jsonb" for name in names
    )
    return (f"({any_of})", dict(zip(names, documents, strict=True)))


#: An instance that starts so long after its creation has an index of its own: others are
#: looked for where they were created.
_LATE = "started_at - created_at > interval '1 minute'"


def _started(chosen: Filter, by: str) -> list[list[Condition]]:
    """When they started, for each part that the answer is put together from."""
    since, until = chosen.started_after, chosen.started_before
    before: Condition = ("started_at < %(until)s", {"until": until}) if until else None
    if by == "started_at":
        after = ("started_at > %(since)s", {"since": since}) if since else None
        return [[("started_at is not null", {}), before, after]]
    if until:
        # No instance starts before it was created: the index by creation ends the search.
        before = ("started_at < %(until)s and created_at < %(until)s", {"until": until})
    if since is None:
        return [[before]]
    values = {"since": since, "almost": since - timedelta(minutes=1)}
    return [
        [before, ("created_at >= %(almost)s and started_at > %(since)s", values)],
        [before, (f"created_at < %(almost)s and started_at > %(since)s and {_LATE}", values)],
    ]


#: So many instances with a beginning of a business_id, or of an id, are taken one by one.
_FEW = 2000


def _meant(session: Session, scope: Scope, chosen: Filter) -> list[Filter]:
    """What the text may mean: a workflow's name, the beginning of a business_id or of an id.
    Each has another index."""
    text = chosen.text or ""
    rest = replace(chosen, text=None)
    meant = []
    if chosen.workflow is None or chosen.workflow[1] == text:
        meant.append(replace(rest, workflow=chosen.workflow or (None, text, None)))
    source, params = groups(TABLE, [IndexLevel("namespace", namespaces_of(scope, chosen))])
    ids = session.all(
        f"select id::text from {source} cross join lateral (select id from {TABLE}"
        " where namespace = of_namespace.value and business_id like %(begins)s limit %(few)s) f"
        + (
            f" union select id::text from (select id from {TABLE}"
            f" where {_BEGINNING} limit %(few)s) f"
            if _begins_an_id(text)
            else ""
        )
        + " limit %(few)s",
        params
        | {
            "begins": _begins(text),
            "few": _FEW + 1,
            **(_beginning(text) if _begins_an_id(text) else {}),
        },
    )
    if len(ids) <= _FEW:
        few = [row[0] for row in ids if chosen.ids is None or row[0] in chosen.ids]
        return [*meant, replace(rest, ids=tuple(few))]
    return [*meant, chosen]


def _narrowed(session: Session, chosen: Filter) -> Filter:
    """The same, by id where few instances have these labels and such an input: those are
    found by an index of their own, wherever they stand in all others."""
    contents = _contents(chosen)
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
    """How many rows Postgres believes that a query has."""
    row = session.one(f"explain (format json) {query}", params)
    return float(row[0][0]["Plan"]["Plan Rows"]) if row else 0.0


def _begins(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


_ID_SHAPE = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"


#: The instances whose ids begin so: a range of the primary key.
_BEGINNING = "id between %(first)s and %(last)s"


def _beginning(text: str) -> dict[str, str]:
    rest = _ID_SHAPE[len(text) :]
    return {"first": text + rest.replace("x", "0"), "last": text + rest.replace("x", "f")}


def _begins_an_id(text: str) -> bool:
    return len(text) <= len(_ID_SHAPE) and all(
        given == "-" if shape == "-" else given in hexdigits
        for given, shape in zip(text, _ID_SHAPE, strict=False)
    )


def _in(column: str, values: Sequence[str] | None) -> Condition:
    """One of the values; any where there are none, but for namespaces, of which none is none."""
    if values is None or (not values and column != "namespace"):
        return None
    return (f"{column} = any(%({column}s)s)", {f"{column}s": list(values)})


def _is(column: str, value: str | None) -> tuple[str, dict[str, Any]] | None:
    return (f"{column} = %({column})s", {column: value}) if value is not None else None


def _workflow(
    workflow: tuple[str | None, str, str | None] | None,
) -> list[tuple[str, dict[str, Any]] | None]:
    if workflow is None:
        return []
    return [_is("workflow", workflow[1]), _is("version", workflow[2])]
