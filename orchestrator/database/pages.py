"""Pages of rows by keyset: the cost of a page does not grow with its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.database.slices import Reader

#: A piece of a ``where`` with its named parameters; None adds nothing.
Condition = tuple[str, Mapping[str, Any]] | None


@dataclass(frozen=True, slots=True)
class Scope:
    """The namespaces that somebody may see; None: all of them."""

    namespaces: tuple[str, ...] | None = None

    def condition(self, column: str) -> Condition:
        """Only rows of these namespaces."""
        if self.namespaces is None:
            return None
        return (f"{column} = any(%(namespaces)s)", {"namespaces": list(self.namespaces)})

    def has(self, namespace: str) -> bool:
        """Whether a namespace is among them."""
        return self.namespaces is None or namespace in self.namespaces


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the values of the last one to go on from (None: that was all)."""

    rows: list[tuple[Any, ...]]
    last: list[Any] | None


def page(
    reader: Reader,
    select: str,
    conditions: Sequence[Condition],
    *,
    order: tuple[str, ...],
    descending: bool = False,
    limit: int = 50,
    after: Sequence[Any] | None = None,
) -> Page:
    """One page of `select`, whose first columns are those of `order`.

    `after` are the values of the last row of the page before.
    """
    where, params = _where(conditions, order, descending, limit, after)
    by = _by(order, descending)
    return _cut(reader.all(f"{select}{where} order by {by} limit %(limit)s", params), order, limit)


#: Every namespace that a table has, by one look into its index for each.
_NAMESPACES = (
    "with recursive n(of_namespace) as ("
    "(select namespace from {table} order by namespace limit 1) union all"
    " select (select namespace from {table} where namespace > n.of_namespace"
    " order by namespace limit 1) from n where n.of_namespace is not null)"
)


def page_by_namespace(
    reader: Reader,
    columns: str,
    table: str,
    namespaces: Sequence[str] | None,
    conditions: Sequence[Condition],
    *,
    order: tuple[str, ...],
    descending: bool = False,
    limit: int = 50,
    after: Sequence[Any] | None = None,
) -> Page:
    """One page of a table that has an index by namespace and then `order`: the page of each
    namespace (None: of all that there are), put together.

    Its cost does not grow with the table, which sorting the rows of several would.
    """
    where, params = _where(conditions, order, descending, limit, after)
    by = _by(order, descending)
    if namespaces is None:
        source = _NAMESPACES.format(table=table)
    else:
        source = "with n(of_namespace) as (select unnest(%(namespaces)s::text[]))"
        params["namespaces"] = list(namespaces)
    inner = (
        f"select * from {table}{where}{' and' if where else ' where'} namespace = n.of_namespace"
        f" order by {by} limit %(limit)s"
    )
    sql = f"{source} select {columns} from n cross join lateral ({inner}) found"
    return _cut(reader.all(f"{sql} order by {by} limit %(limit)s", params), order, limit)


def _where(
    conditions: Sequence[Condition],
    order: tuple[str, ...],
    descending: bool,
    limit: int,
    after: Sequence[Any] | None,
) -> tuple[str, dict[str, Any]]:
    parts = [condition for condition in conditions if condition]
    if after is not None:
        parts.append(_beyond(order, descending, after))
    # One row more than asked for tells whether there is a next page.
    params: dict[str, Any] = {"limit": limit + 1}
    for _, values in parts:
        params.update(values)
    return (f" where {' and '.join(text for text, _ in parts)}" if parts else ""), params


def _by(order: tuple[str, ...], descending: bool) -> str:
    return ", ".join(column + (" desc" if descending else "") for column in order)


def _cut(rows: list[tuple[Any, ...]], order: tuple[str, ...], limit: int) -> Page:
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(rows, list(rows[-1][: len(order)]) if more else None)


def _beyond(
    order: tuple[str, ...], descending: bool, after: Sequence[Any]
) -> tuple[str, dict[str, Any]]:
    names = [f"after{index}" for index in range(len(order))]
    marks = ", ".join(f"%({name})s" for name in names)
    sign = "<" if descending else ">"
    return f"({', '.join(order)}) {sign} ({marks})", dict(zip(names, after, strict=True))
