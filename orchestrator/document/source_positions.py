"""The positions of a document's values in its source text."""

from __future__ import annotations

from orchestrator.document.model import unescape

Position = tuple[int, int]
"""A line and a column, counted from 1."""


class SourcePosition:
    """The position at which a value begins."""

    __slots__ = ("column", "line")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column

    @property
    def position(self) -> Position:
        """The line and column at which the value begins."""
        return self.line, self.column

    def of(self, pointer: str) -> SourcePosition:
        """Return the position of the value at a JSON pointer, or of its nearest existing
        ancestor."""
        position = self
        for token in pointer.split("/")[1:]:
            below = position.child(token)
            if below is None:
                return position
            position = below
        return position

    def of_key(self, pointer: str) -> Position:
        """Return the position of the key at the end of the pointer; for an item of a list, that of
        its value."""
        above, _, token = pointer.rpartition("/")
        position = self.of(above)
        if isinstance(position, MappingPosition) and unescape(token) in position.keys:
            return position.keys[unescape(token)]
        return self.of(pointer).position

    def child(self, token: str) -> SourcePosition | None:  # noqa: ARG002 - others have parts
        """Return the position of a part of the value, by one token of a pointer."""
        return None


class MappingPosition(SourcePosition):
    """The positions of a mapping, its keys and its values."""

    __slots__ = ("keys", "values")

    def __init__(self, line: int, column: int) -> None:
        super().__init__(line, column)
        self.keys: dict[str, Position] = {}
        self.values: dict[str, SourcePosition] = {}

    def child(self, token: str) -> SourcePosition | None:
        """Return the position of the value of a key."""
        return self.values.get(unescape(token))


class ListPosition(SourcePosition):
    """The positions of a list and its items."""

    __slots__ = ("items",)

    def __init__(self, line: int, column: int) -> None:
        super().__init__(line, column)
        self.items: list[SourcePosition] = []

    def child(self, token: str) -> SourcePosition | None:
        """Return the position of an item."""
        is_index = token.isascii() and token.isdecimal() and len(token) < 10
        return self.items[int(token)] if is_index and int(token) < len(self.items) else None
