"""Where each value of a document stands in its source."""

from __future__ import annotations

from orchestrator.document.model import unescape

Position = tuple[int, int]
"""A line and a column, counted from 1."""


class SourcePosition:
    """Where a value begins."""

    __slots__ = ("column", "line")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column

    @property
    def position(self) -> Position:
        """The line and column at which the value begins."""
        return self.line, self.column

    def of(self, pointer: str) -> SourcePosition:
        """The place of the value at a JSON pointer, or of what is nearest above it."""
        place = self
        for token in pointer.split("/")[1:]:
            below = place.child(token)
            if below is None:
                return place
            place = below
        return place

    def of_key(self, pointer: str) -> Position:
        """Where the key begins that ends the pointer; a list's item begins with itself."""
        above, _, token = pointer.rpartition("/")
        place = self.of(above)
        if isinstance(place, MappingPosition) and unescape(token) in place.keys:
            return place.keys[unescape(token)]
        return self.of(pointer).position

    def child(self, token: str) -> SourcePosition | None:  # noqa: ARG002 - others have parts
        """The place of a part of the value, by one token of a pointer."""
        return None


class MappingPosition(SourcePosition):
    """Where a mapping begins, and each of its keys and values."""

    __slots__ = ("keys", "values")

    def __init__(self, line: int, column: int) -> None:
        super().__init__(line, column)
        self.keys: dict[str, Position] = {}
        self.values: dict[str, SourcePosition] = {}

    def child(self, token: str) -> SourcePosition | None:
        """The place of the value of a key."""
        return self.values.get(unescape(token))


class ListPosition(SourcePosition):
    """Where a list begins, and each of its items."""

    __slots__ = ("items",)

    def __init__(self, line: int, column: int) -> None:
        super().__init__(line, column)
        self.items: list[SourcePosition] = []

    def child(self, token: str) -> SourcePosition | None:
        """The place of an item."""
        known = token.isascii() and token.isdecimal() and len(token) < 10
        return self.items[int(token)] if known and int(token) < len(self.items) else None
