"""What a query runs on: a database or a transaction."""

from __future__ import annotations

from typing import Any, Protocol


class Session(Protocol):
    """A `Database`, or a `Transaction` on it."""

    def all(self, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        """Every row of the last statement's result."""

    def one(self, sql: str, params: Any = ()) -> tuple[Any, ...] | None:
        """The first row, or None."""

    def commit_with(self, sql: str, params: Any = (), then: str = "") -> list[tuple[Any, ...]]:
        """Run SQL that ends the transaction, if there is one; the rows of what is read `then`."""
