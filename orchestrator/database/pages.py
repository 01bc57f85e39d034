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
    parts = [condition for condition in conditions if condition]
    if after is not None:
        parts.append(_beyond(order, descending, after))
    params: dict[str, Any] = {"limit": limit + 1}
    for _, values in parts:
        params.update(values)
    where = f" where {' and '.join(text for text, _ in parts)}" if parts else ""
    direction = " desc" if descending else ""
    by = ", ".join(column + direction for column in order)
    rows = reader.all(f"{select}{where} order by {by} limit %(limit)s", params)
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
