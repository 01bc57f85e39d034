"""Pages of rows by keyset: the cost of a page does not grow with its number."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.database.connection.session import Session

#: A page ends after the row with which its payloads reach so many bytes.
PAGE_BYTES = 4 << 20

#: A part of a ``where`` with its named parameters; None adds nothing.
Condition = tuple[str, Mapping[str, Any]] | None


def equal(column: str, value: Any) -> Condition:
    """Return the condition for one value of a column; None filters nothing."""
    name = column.rpartition(".")[2]
    return None if value is None else (f"{column} = %({name})s", {name: value})


def one_of(column: str, values: Collection[str] | None) -> Condition:
    """Return the condition for some values of a column; none at all filters nothing."""
    name = column.rpartition(".")[2]
    return (f"{column} = any(%({name})s)", {name: list(values)}) if values else None


@dataclass(frozen=True, slots=True)
class IndexLevel:
    """A leading column of an index, and the requested values; None: all values, each found by one
    index lookup. `expression`: what is indexed under the name of the column."""

    column: str
    values: Sequence[str] | None
    expression: str | None = None

    @property
    def sql(self) -> str:
        """What is compared with the values."""
        return self.expression or self.column


@dataclass(frozen=True, slots=True)
class Scope:
    """The namespaces that a caller may see; None: all of them."""

    namespaces: tuple[str, ...] | None = None

    def condition(self, column: str) -> Condition:
        """Return the condition for rows of these namespaces."""
        if self.namespaces is None:
            return None
        return (f"{column} = any(%(namespaces)s)", {"namespaces": list(self.namespaces)})

    @property
    def level(self) -> IndexLevel:
        """These namespaces as an `IndexLevel`, for `page_by`."""
        return IndexLevel("namespace", self.namespaces)

    def has(self, namespace: str) -> bool:
        """Whether the scope contains a namespace."""
        return self.namespaces is None or namespace in self.namespaces


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the values of the last one, from which the next page continues (None: there is
    none)."""

    rows: list[tuple[Any, ...]]
    last: list[Any] | None


def page(
    session: Session,
    select: str,
    conditions: Sequence[Condition],
    *,
    order: tuple[str, ...],
    descending: bool = False,
    limit: int = 50,
    after: Sequence[Any] | None = None,
    payloads: Sequence[str] = (),
) -> Page:
    """Return one page of `select`, whose first columns are those of `order`.

    `after`: the values of the last row of the page before. `payloads`: columns of the select, of
    JSON text; with them the page may end early (`PAGE_BYTES`).
    """
    where, params = _where(conditions, order, descending, limit, after)
    by = _by(order, descending)
    sql = f"{select}{where} order by {by} limit %(limit)s"
    return _first_page(session, sql, params, order, descending, limit, payloads)


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the requested rows: those with the levels' values that fulfil the conditions."""

    levels: Sequence[IndexLevel]
    conditions: Sequence[Condition] = ()


def page_by(
    session: Session,
    columns: str,
    table: str,
    parts: Sequence[Part],
    *,
    order: tuple[str, ...],
    descending: bool = False,
    limit: int = 50,
    after: Sequence[Any] | None = None,
    payloads: Sequence[str] = (),
) -> Page:
    """Return one page of a table that has an index on the columns of each part's levels and then of
    `order`, which is unique: the pages of all their values, merged.

    Its cost grows with the number of these values, not with the table, as sorting the rows of
    several values would. Only the rows of the page itself are read in full. `payloads`: see `page`.
    """
    by, keys = _by(order, descending), ", ".join(order)
    selects, params = [], {"limit": limit + 1}
    for number, part in enumerate(parts):
        where, values = _where(part.conditions, order, descending, limit, after)
        source, more = level_combinations(table, part.levels, f"{number}_")
        selects.append(
            f"""
            (
              select found.* from {source}
              cross join lateral (
                select {keys}
                from {table}{where}{" and" if where else " where"} {matching(part.levels)}
                order by {by} limit %(limit)s) found)
            """
        )
        params |= values | more
    sql = f"""
        select {columns}
        from (select * from ({" union ".join(selects)}) found order by {by} limit %(limit)s) chosen
        join {table} found using ({keys})
        order by {by}
    """
    return _first_page(session, sql, params, order, descending, limit, payloads)


def counted_by(session: Session, table: str, parts: Sequence[Part], most: int) -> int:
    """Return how many rows `page_by` would list, counted up to `most`."""
    source, params = matching_ids(table, parts)
    row = session.one(f"select count(*) from ({source}) every", {**params, "most": most})
    return int(row[0]) if row else 0


def matching_ids(
    table: str, parts: Sequence[Part], by: str | None = None
) -> tuple[str, dict[str, Any]]:
    """Return SQL for the ids of at most `most` rows that `page_by` would list, in no order, and its
    parameters without `most`. `by`: the column after the levels in their index; with it the planner
    takes the index, where it would expect a bounded number of rows sooner from the table."""
    order = f"order by {by} desc" if by else ""
    selects, params = [], dict[str, Any]()
    for number, part in enumerate(parts):
        conditions = [condition for condition in part.conditions if condition]
        where = [matching(part.levels), *(text for text, _ in conditions)]
        source, values = level_combinations(table, part.levels, f"{number}_")
        selects.append(
            f"""
            (
              select found.id from {source}
              cross join lateral (
                select id from {table}
                where {" and ".join(where)}
                {order} limit %(most)s) found)
            """
        )
        params |= values
        for _, more in conditions:
            params |= more
    return f"select id from ({' union '.join(selects)}) one limit %(most)s", params


def level_combinations(
    table: str, levels: Sequence[IndexLevel], prefix: str = ""
) -> tuple[str, dict[str, Any]]:
    """Return a ``from`` item whose rows are the combinations of the levels' values, and its
    parameters, whose names begin with `prefix`.

    For each level it has a table named ``of_`` and the column, with the column `value`. Without
    levels it has one row.
    """
    if not levels:
        return "(values (0)) as of_all", {}
    sources: list[str] = []
    params: dict[str, Any] = {}
    for number, level in enumerate(levels):
        if level.values is None:
            source = _present_values(table, level.column, levels[:number])
        else:
            source = f"unnest(%({prefix}{level.column})s::text[])"
            params[f"{prefix}{level.column}"] = list(level.values)
        sources.append(f"{source} as of_{level.column}(value)")
    return " cross join lateral ".join(sources), params


def matching(levels: Sequence[IndexLevel]) -> str:
    """Return the condition for the rows that have the values of a row of `level_combinations`."""
    return " and ".join(f"{level.sql} = of_{level.column}.value" for level in levels) or "true"


def _present_values(table: str, column: str, within: Sequence[IndexLevel]) -> str:
    """Return SQL for every value that a column has under the values of the levels before it."""
    fixed = f" where {matching(within)}" if within else ""
    beyond = f"{fixed} and" if within else " where"
    return f"""
        (
          with recursive present(value) as (
            (select {column} from {table}{fixed} order by {column} limit 1)
            union all
            select (
              select {column}
              from {table}{beyond} {column} > present.value
              order by {column} limit 1)
            from present
            where present.value is not null)
          select value from present
          where value is not null)
    """


def _where(
    conditions: Sequence[Condition],
    order: tuple[str, ...],
    descending: bool,
    limit: int,
    after: Sequence[Any] | None,
) -> tuple[str, dict[str, Any]]:
    parts = [condition for condition in conditions if condition]
    if after is not None:
        parts.append(_after_condition(order, descending, after))
    # Read one row more than requested: if this row exists, there is a next page.
    params: dict[str, Any] = {"limit": limit + 1}
    for _, values in parts:
        params.update(values)
    return (f" where {' and '.join(text for text, _ in parts)}" if parts else ""), params


def _by(order: tuple[str, ...], descending: bool) -> str:
    return ", ".join(column + (" desc" if descending else "") for column in order)


def _first_page(
    session: Session,
    sql: str,
    params: Mapping[str, Any],
    order: tuple[str, ...],
    descending: bool,
    limit: int,
    payloads: Sequence[str],
) -> Page:
    if not payloads:
        rows = session.all(sql, params)
        found = len(rows)
    else:
        sized = _up_to_bytes(sql, order, descending, payloads)
        counted = session.all(sized, {**params, "page_bytes": PAGE_BYTES})
        rows = [row[2:] for row in counted]
        found = counted[0][0] if counted else 0
    rows = rows[:limit]
    return Page(rows, list(rows[-1][: len(order)]) if found > len(rows) else None)


def _up_to_bytes(
    sql: str, order: tuple[str, ...], descending: bool, payloads: Sequence[str]
) -> str:
    """Return SQL for the number of rows of a select, the bytes of the payloads before each row, and
    the row, up to the row with which the payloads reach `page_bytes`.

    The length of a JSON text stands in its header, so that no payload after that row is read.
    """
    by = _by(tuple(column.rpartition(".")[2] for column in order), descending)
    size = " + ".join(f"coalesce(octet_length({column}), 0)" for column in payloads)
    return f"""
        select *
        from (
          select count(*) over (),
            coalesce(
              sum({size}) over (order by {by} rows between unbounded preceding and 1 preceding),
              0) as bytes_before,
            found.*
          from ({sql}) found) sized
        where bytes_before < %(page_bytes)s
        order by {by}
    """


def _after_condition(
    order: tuple[str, ...], descending: bool, after: Sequence[Any]
) -> tuple[str, dict[str, Any]]:
    names = [f"after{index}" for index in range(len(order))]
    marks = ", ".join(f"%({name})s" for name in names)
    sign = "<" if descending else ">"
    return f"({', '.join(order)}) {sign} ({marks})", dict(zip(names, after, strict=True))
