"""Builds a document's value and its places from what a reader meets, within the bounds."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from orchestrator.document.diagnostics import Diagnostic, InvalidDocument, MalformedDocument
from orchestrator.document.message_text import short
from orchestrator.document.model import escape
from orchestrator.document.parser.bounds import MAX_CHARACTERS, MAX_DEPTH, MAX_NODES
from orchestrator.document.source_positions import (
    ListPosition,
    MappingPosition,
    Position,
    SourcePosition,
)

Json = Any


class AnchoredValue(NamedTuple):
    """A finished value, which can be repeated: how many nodes and characters it has, how deep
    it is."""

    value: Json
    position: SourcePosition
    size: int = 1
    characters: int = 0
    height: int = 0


class _List:
    """A list that is still open."""

    __slots__ = ("characters", "height", "position", "size", "value")

    def __init__(self, place: ListPosition) -> None:
        self.position = place
        self.value: list[Json] = []
        self.size = 1
        self.characters = 0
        self.height = 1

    wants_key = False

    def put(self, done: AnchoredValue) -> None:
        self.value.append(done.value)
        self.position.items.append(done.position)

    @property
    def token(self) -> str | None:
        return str(len(self.value))

    def end(self) -> None:
        """Nothing is left to do."""


class _Mapping:
    """A mapping that is still open. `key` is the one whose value is awaited; `merging` says
    that what a `<<` takes in is awaited."""

    __slots__ = (
        "characters", "height", "key", "merges", "merging", "position", "size", "value",
    )  # fmt: skip

    def __init__(self, place: MappingPosition) -> None:
        self.position = place
        self.value: dict[str, Json] = {}
        self.key: str | None = None
        self.merging = False
        self.merges: list[AnchoredValue] = []
        self.size = 1
        self.characters = 0
        self.height = 1

    @property
    def wants_key(self) -> bool:
        return self.key is None and not self.merging

    def put(self, done: AnchoredValue) -> None:
        if self.merging:
            self.merges.append(done)
            self.merging = False
        elif self.key is not None:
            self.value[self.key] = done.value
            self.position.values[self.key] = done.position
            self.key = None

    @property
    def token(self) -> str | None:
        return None if self.key is None else escape(self.key)

    def end(self) -> None:
        """Take in what was merged: the mapping's own keys win, then the earlier ones."""
        for merged in self.merges:
            if isinstance(merged.position, MappingPosition):
                self._merge(merged.value, merged.position)
            elif isinstance(merged.position, ListPosition):
                for value, place in zip(merged.value, merged.position.items, strict=True):
                    if isinstance(place, MappingPosition):
                        self._merge(value, place)

    def _merge(self, mapping: dict[str, Json], place: MappingPosition) -> None:
        for key, value in mapping.items():
            if key not in self.value:
                self.value[key] = value
                self.position.keys[key] = place.keys[key]
                self.position.values[key] = place.values[key]


class Builder:
    """One document in the making. A reader calls its methods in the order of the text; each
    raises `MalformedDocument` where a bound or a rule is broken."""

    def __init__(self) -> None:
        self.stack: list[_List | _Mapping] = []
        self.nodes = 0
        self.characters = 0
        self.root: AnchoredValue | None = None

    @property
    def wants_key(self) -> bool:
        """Is the next thing a key?"""
        return bool(self.stack) and self.stack[-1].wants_key

    def open_mapping(self, at: Position) -> None:
        """A mapping begins."""
        self._may_open(at)
        self.stack.append(_Mapping(MappingPosition(*at)))

    def open_list(self, at: Position) -> None:
        """A list begins."""
        self._may_open(at)
        self.stack.append(_List(ListPosition(*at)))

    def key(self, text: str, at: Position) -> None:
        """A key of the open mapping."""
        mapping = self._mapping()
        first = mapping.position.keys.setdefault(text, at)
        if first is not at:
            line, column = first
            twice = f"the key {short(text)!r} stands twice (first at {line}:{column})"
            self.fail(twice, at, text)
        self._count(1, len(text), at)
        self._text(text, at)
        mapping.size += 1
        mapping.characters += len(text)
        mapping.key = text

    def merge_key(self, at: Position) -> None:
        """A `<<`: the open mapping takes in the value that follows."""
        self._count(1, 0, at)
        self._mapping().merging = True

    def scalar(self, value: Json, at: Position) -> AnchoredValue:
        """A value without parts."""
        characters = _length(value)
        self._count(1, characters, at)
        if type(value) is str:
            self._text(value, at)
        return self._put(AnchoredValue(value, SourcePosition(*at), 1, characters), at)

    def alias(self, anchored: AnchoredValue, at: Position) -> None:
        """A value that stands elsewhere already."""
        if len(self.stack) + anchored.height > MAX_DEPTH:
            self._too_deep(at)
        self._count(anchored.size, anchored.characters, at)
        self._put(anchored, at)

    def close(self) -> AnchoredValue:
        """The mapping or list that was opened last ends."""
        frame = self.stack.pop()
        frame.end()
        done = AnchoredValue(
            frame.value, frame.position, frame.size, frame.characters, frame.height
        )
        return self._put(done, frame.position.position)

    def fail(self, message: str, at: Position, key: str | None = None) -> NoReturn:
        """The text is wrong at `at`, at `key` of the open mapping if it is given."""
        raise MalformedDocument([Diagnostic(self.pointer(key), *at, message)])

    def pointer(self, key: str | None = None) -> str:
        """Where the builder stands."""
        tokens = [frame.token for frame in self.stack]
        if key is not None and tokens:
            tokens[-1] = escape(key)
        return "".join(f"/{token}" for token in tokens if token is not None)

    def _mapping(self) -> _Mapping:
        frame = self.stack[-1]
        if not isinstance(frame, _Mapping):
            raise TypeError("only a mapping has keys")
        return frame

    def _put(self, done: AnchoredValue, at: Position) -> AnchoredValue:
        if not self.stack:
            self.root = done
            return done
        frame = self.stack[-1]
        if isinstance(frame, _Mapping) and frame.merging and not _is_mergeable(done.position):
            self.fail("'<<' takes in a mapping or a list of mappings", at)
        frame.size += done.size
        frame.characters += done.characters
        frame.height = max(frame.height, done.height + 1)
        frame.put(done)
        return done

    def _may_open(self, at: Position) -> None:
        if len(self.stack) >= MAX_DEPTH:
            self._too_deep(at)
        self._count(1, 0, at)

    def _too_deep(self, at: Position) -> NoReturn:
        self.fail(f"more than {MAX_DEPTH} levels of nesting", at)

    def _count(self, nodes: int, characters: int, at: Position) -> None:
        self.nodes += nodes
        self.characters += characters
        if self.nodes > MAX_NODES:
            self.fail(f"more than {MAX_NODES} values, those repeated by aliases counted", at)
        if self.characters > MAX_CHARACTERS:
            self.fail(f"more than {MAX_CHARACTERS} characters, those repeated counted", at)

    def _text(self, text: str, at: Position) -> None:
        """Databases and tools choke on these, although JSON can say them."""
        if "\0" in text:
            self._refuse("a NUL character in a text", at)
        if not text.isascii() and not _is_unicode(text):
            self._refuse("half of a surrogate pair in a text", at)

    def _refuse(self, message: str, at: Position) -> NoReturn:
        raise InvalidDocument([Diagnostic(self.pointer(), *at, message)])


def _length(value: Json) -> int:
    """About how long a value without parts is when it is written out."""
    if type(value) is str:
        return len(value)
    return value.bit_length() // 3 if type(value) is int else 8


def _is_mergeable(place: SourcePosition) -> bool:
    """Does a mapping stand there, or a list of mappings?"""
    if isinstance(place, ListPosition):
        return all(isinstance(item, MappingPosition) for item in place.items)
    return isinstance(place, MappingPosition)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
