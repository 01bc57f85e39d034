"""The connection of a query: a database or a transaction."""

from __future__ import annotations

from typing import Any, Protocol


class Session(Protocol):
    """A `Database`, or a `Transaction` on it."""

    def all(self, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        """Return every row of the last statement's result."""

    def one(self, sql: str, params: Any = ()) -> tuple[Any, ...] | None:
        """Return the first row, or None."""

    def commit_with(
        self, sql: str, params: Any = (), read_after: str = ""
    ) -> list[tuple[Any, ...]]:
        """Run SQL, commit, and return the rows of `read_after`."""
