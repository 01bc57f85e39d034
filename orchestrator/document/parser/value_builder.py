"""Builds a document's value and its positions from the events of a reader, within the bounds."""

from __future__ import annotations

from typing import Any, NoReturn

from orchestrator.document.diagnostics import Diagnostic, InvalidDocument, MalformedDocument
from orchestrator.document.message_text import short
from orchestrator.document.model import escape
from orchestrator.document.parser.bounds import MAX_CHARACTERS, MAX_DEPTH, MAX_NODES
from orchestrator.document.parser.open_values import (
    AnchoredValue,
    OpenList,
    OpenMapping,
    is_mergeable,
)
from orchestrator.document.source_positions import (
    ListPosition,
    MappingPosition,
    Position,
    SourcePosition,
)

Json = Any


class Builder:
    """Builds one document. A reader calls the methods in the order of the text. Each raises
    `MalformedDocument` if a bound or a rule is broken."""

    def __init__(self) -> None:
        self.stack: list[OpenList | OpenMapping] = []
        self.nodes = 0
        self.characters = 0
        self.root: AnchoredValue | None = None

    @property
    def wants_key(self) -> bool:
        """Whether a key must come next."""
        return bool(self.stack) and self.stack[-1].wants_key

    def open_mapping(self, at: Position) -> None:
        """Begin a mapping."""
        self._may_open(at)
        self.stack.append(OpenMapping(MappingPosition(*at)))

    def open_list(self, at: Position) -> None:
        """Begin a list."""
        self._may_open(at)
        self.stack.append(OpenList(ListPosition(*at)))

    def key(self, text: str, at: Position) -> None:
        """Add a key to the open mapping."""
        mapping = self._mapping()
        first = mapping.position.keys.setdefault(text, at)
        if first is not at:
            line, column = first
            twice = f"the key {short(text)!r} appears twice (first at {line}:{column})"
            self.fail(twice, at, text)
        self._count_and_check(1, len(text), at)
        self._check_text(text, at)
        mapping.size += 1
        mapping.characters += len(text)
        mapping.key = text

    def merge_key(self, at: Position) -> None:
        """Add a `<<`: the open mapping merges the next value."""
        self._count_and_check(1, 0, at)
        self._mapping().merging = True

    def scalar(self, value: Json, at: Position) -> AnchoredValue:
        """Add a value without parts."""
        characters = _length(value)
        self._count_and_check(1, characters, at)
        if type(value) is str:
            self._check_text(value, at)
        return self._put(AnchoredValue(value, SourcePosition(*at), 1, characters), at)

    def alias(self, anchored: AnchoredValue, at: Position) -> None:
        """Repeat an earlier value."""
        if len(self.stack) + anchored.height > MAX_DEPTH:
            self._too_deep(at)
        self._count_and_check(anchored.size, anchored.characters, at)
        self._put(anchored, at)

    def close(self) -> AnchoredValue:
        """End the innermost open mapping or list."""
        frame = self.stack.pop()
        frame.end()
        done = AnchoredValue(
            frame.value, frame.position, frame.size, frame.characters, frame.height
        )
        return self._put(done, frame.position.position)

    def fail(self, message: str, at: Position, key: str | None = None) -> NoReturn:
        """Raise `MalformedDocument` at a position, for `key` of the open mapping if there is
        one."""
        raise MalformedDocument([Diagnostic(self.pointer(key), *at, message)])

    def pointer(self, key: str | None = None) -> str:
        """Return the pointer of the next value."""
        tokens = [frame.token for frame in self.stack]
        if key is not None and tokens:
            tokens[-1] = escape(key)
        return "".join(f"/{token}" for token in tokens if token is not None)

    def _mapping(self) -> OpenMapping:
        frame = self.stack[-1]
        if not isinstance(frame, OpenMapping):
            raise TypeError("only a mapping has keys")
        return frame

    def _put(self, done: AnchoredValue, at: Position) -> AnchoredValue:
        if not self.stack:
            self.root = done
            return done
        frame = self.stack[-1]
        if isinstance(frame, OpenMapping) and frame.merging and not is_mergeable(done.position):
            self.fail("'<<' merges a mapping or a list of mappings", at)
        frame.size += done.size
        frame.characters += done.characters
        frame.height = max(frame.height, done.height + 1)
        frame.put(done)
        return done

    def _may_open(self, at: Position) -> None:
        if len(self.stack) >= MAX_DEPTH:
            self._too_deep(at)
        self._count_and_check(1, 0, at)

    def _too_deep(self, at: Position) -> NoReturn:
        self.fail(f"more than {MAX_DEPTH} levels of nesting", at)

    def _count_and_check(self, nodes: int, characters: int, at: Position) -> None:
        self.nodes += nodes
        self.characters += characters
        if self.nodes > MAX_NODES:
            self.fail(f"more than {MAX_NODES} values, counting those that aliases repeat", at)
        if self.characters > MAX_CHARACTERS:
            self.fail(
                f"more than {MAX_CHARACTERS} characters, counting those that aliases repeat", at
            )

    def _check_text(self, text: str, at: Position) -> None:
        """Refuse texts that JSON allows but databases and tools cannot process."""
        if "\0" in text:
            self._refuse("a NUL character in a text", at)
        if not text.isascii() and not _is_unicode(text):
            self._refuse("half of a surrogate pair in a text", at)

    def _refuse(self, message: str, at: Position) -> NoReturn:
        raise InvalidDocument([Diagnostic(self.pointer(), *at, message)])


def _length(value: Json) -> int:
    """Return the approximate length of a scalar when it is written out."""
    if type(value) is str:
        return len(value)
    return value.bit_length() // 3 if type(value) is int else 8


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
