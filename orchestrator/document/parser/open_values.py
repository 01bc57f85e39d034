"""The values that a builder has not closed yet, and the complete ones that aliases repeat."""

from __future__ import annotations

from typing import Any, NamedTuple

from orchestrator.document.model import escape
from orchestrator.document.source_positions import ListPosition, MappingPosition, SourcePosition

Json = Any


class AnchoredValue(NamedTuple):
    """A complete value, which an alias can repeat, with its number of nodes and characters and its
    depth."""

    value: Json
    position: SourcePosition
    size: int = 1
    characters: int = 0
    height: int = 0


class OpenList:
    """A list that is still open."""

    __slots__ = ("characters", "height", "position", "size", "value")

    def __init__(self, position: ListPosition) -> None:
        self.position = position
        self.value: list[Json] = []
        self.size = 1
        self.characters = 0
        self.height = 1

    wants_key = False

    def put(self, done: AnchoredValue) -> None:
        """Add a complete value."""
        self.value.append(done.value)
        self.position.items.append(done.position)

    @property
    def token(self) -> str | None:
        """The pointer token of the next value."""
        return str(len(self.value))

    def end(self) -> None:
        """Do nothing: a list has no merges."""


class OpenMapping:
    """A mapping that is still open. `key` is the key whose value comes next; `merging`: the value
    of a `<<` comes next."""

    __slots__ = (
        "characters", "height", "key", "merges", "merging", "position", "size", "value",
    )  # fmt: skip

    def __init__(self, position: MappingPosition) -> None:
        self.position = position
        self.value: dict[str, Json] = {}
        self.key: str | None = None
        self.merging = False
        self.merges: list[AnchoredValue] = []
        self.size = 1
        self.characters = 0
        self.height = 1

    @property
    def wants_key(self) -> bool:
        """Whether a key must come next."""
        return self.key is None and not self.merging

    def put(self, done: AnchoredValue) -> None:
        """Add a complete value."""
        if self.merging:
            self.merges.append(done)
            self.merging = False
        elif self.key is not None:
            self.value[self.key] = done.value
            self.position.values[self.key] = done.position
            self.key = None

    @property
    def token(self) -> str | None:
        """The pointer token of the next value."""
        return None if self.key is None else escape(self.key)

    def end(self) -> None:
        """Merge the values of `<<`: the mapping's own keys win, then the earlier values."""
        for merged in self.merges:
            if isinstance(merged.position, MappingPosition):
                self._merge(merged.value, merged.position)
            elif isinstance(merged.position, ListPosition):
                for value, position in zip(merged.value, merged.position.items, strict=True):
                    if isinstance(position, MappingPosition):
                        self._merge(value, position)

    def _merge(self, mapping: dict[str, Json], position: MappingPosition) -> None:
        for key, value in mapping.items():
            if key not in self.value:
                self.value[key] = value
                self.position.keys[key] = position.keys[key]
                self.position.values[key] = position.values[key]


def is_mergeable(position: SourcePosition) -> bool:
    """Whether the position is that of a mapping or of a list of mappings."""
    if isinstance(position, ListPosition):
        return all(isinstance(item, MappingPosition) for item in position.items)
    return isinstance(position, MappingPosition)
