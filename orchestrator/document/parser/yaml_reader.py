"""Reads YAML 1.2, by ruamel.yaml's parsers, event by event.

Theory of operation. ruamel.yaml has two parsers. The one in Python knows YAML 1.2; the one in
C is twenty times as fast, but knows 1.1, whose grammar is a little narrower. What both accept
they read alike, apart from the rare signs that `_OLD` finds. So the C parser goes first, where
it is installed; where it refuses, the Python parser has the last word, and its message counts.
Only the grammar is theirs: what a scalar means is decided in `scalars`, bounds in `builder`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from orchestrator.document.diagnostics import Diagnostic, MalformedDocument
from orchestrator.document.message_text import quoted, short
from orchestrator.document.parser.value_builder import AnchoredValue, Builder
from orchestrator.document.parser.yaml_scalars import (
    MERGE,
    TAG,
    InvalidScalar,
    display_tag,
    plain,
    tagged,
)
from orchestrator.document.source_positions import Position, SourcePosition

try:
    import _ruamel_yaml as c_parser  # type: ignore[import-not-found]
except ImportError:
    c_parser = None

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")

# Line ends that only YAML 1.1 knows; byte order marks within; a key mark in a flow collection.
_YAML_1_1_ONLY = re.compile("[\x85\u2028\u2029\ufeff]|[\\[{,]\\s*\\?")


def read(text: str) -> AnchoredValue:
    """The value of a YAML document with its places. Raises `MalformedDocument`."""
    if can_use_c_parser(text):
        try:
            return _Reader().read(_c_events(text))
        except YAMLError:
            pass  # the other parser knows better
    try:
        return _Reader().read(_python_events(text))
    except YAMLError as error:
        raise MalformedDocument([_problem(error, text)]) from error
    except (ValueError, IndexError, AttributeError, AssertionError, RecursionError) as error:
        # Slips of the parser itself, on texts that no one writes.
        raise MalformedDocument([Diagnostic("", 1, 1, "the text is not YAML")]) from error


def can_use_c_parser(text: str) -> bool:
    """Can the C parser be asked?"""
    return c_parser is not None and not _YAML_1_1_ONLY.search(text)


def _c_events(text: str) -> Iterator[Event]:
    parser = c_parser.CParser(text)
    while parser.check_event():
        yield parser.get_event()


def _python_events(text: str) -> Iterator[Event]:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    return yaml.parse(text)  # type: ignore[no-any-return]


class _Reader:
    """One pass over the events of a text."""

    def __init__(self) -> None:
        self.build = Builder()
        self.anchors: dict[str, AnchoredValue] = {}
        self.open_anchors: list[str | None] = []  # the anchors of what is still open
        self.documents = 0

    def read(self, events: Iterator[Event]) -> AnchoredValue:
        for event in events:
            self._consume(event)
        if self.build.root is None or self.build.root.value is None:
            raise MalformedDocument([Diagnostic("", 1, 1, "the document is empty")])
        return self.build.root

    def _consume(self, event: Any) -> None:
        at = event.start_mark.line + 1, event.start_mark.column + 1
        kind = type(event)
        if kind is ScalarEvent:
            self._scalar(event, at)
        elif kind is MappingStartEvent:
            self._open(event, at, "map")
            self.build.open_mapping(at)
        elif kind is SequenceStartEvent:
            self._open(event, at, "seq")
            self.build.open_list(at)
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            self._store_anchor(self.open_anchors.pop(), self.build.close())
        elif kind is AliasEvent:
            self._alias(event.anchor, at)
        elif kind is DocumentStartEvent:
            self._document(at)

    def _document(self, at: Position) -> None:
        self.documents += 1
        if self.documents > 1:
            self.build.fail("a second document begins; one file holds one workflow", at)

    def _open(self, event: NodeEvent, at: Position, kind: str) -> None:
        if self.build.wants_key:
            self.build.fail("a key must be a text", at)
        tag = _tag(event)
        if tag not in (None, "!", TAG + kind):
            self.build.fail(f"unknown tag {display_tag(str(tag))}", at)
        self.open_anchors.append(event.anchor)

    def _scalar(self, event: ScalarEvent, at: Position) -> None:
        text, tag = _joined(event.value), _tag(event)
        try:
            if self.build.wants_key:
                self._key(event, text, tag, at)
                return
            if tag is not None:
                value = tagged(text, tag)
            else:
                value = plain(text) if event.implicit[0] else text
        except InvalidScalar as error:
            self.build.fail(str(error), at)
        self._store_anchor(event.anchor, self.build.scalar(value, at))

    def _key(self, event: ScalarEvent, text: str, tag: str | None, at: Position) -> None:
        """A key counts as it is written: `on`, `404` and `null` are texts."""
        if text == MERGE and tag is None and event.implicit[0]:
            self.build.merge_key(at)
            return
        if tag is not None:
            tagged(text, tag)
        self.build.key(text, at)
        if event.anchor is not None:
            self._store_anchor(event.anchor, AnchoredValue(text, SourcePosition(*at)))

    def _alias(self, name: str, at: Position) -> None:
        if name in self.open_anchors:
            self.build.fail(f"the alias {quoted('*' + name)} repeats itself endlessly", at)
        anchored = self.anchors.get(name)
        if anchored is None:
            self.build.fail(f"the alias {quoted('*' + name)} was never defined", at)
        if not self.build.wants_key:
            self.build.alias(anchored, at)
        elif isinstance(anchored.value, str):
            self.build.key(anchored.value, at)
        else:
            self.build.fail("a key must be a text", at)

    def _store_anchor(self, anchor: str | None, value: AnchoredValue) -> None:
        if anchor is not None:
            self.anchors[anchor] = value


def _joined(text: str) -> str:
    """Surrogate pairs, which only escapes can write, as the characters that they mean: YAML
    holds JSON within it."""
    if text.isascii() or not _PAIR.search(text):
        return text
    return _PAIR.sub(
        lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), text
    )


def _tag(event: Any) -> str | None:
    return None if event.tag is None else str(event.tag)


def _problem(error: YAMLError, text: str) -> Diagnostic:
    """ruamel.yaml's complaint, in one line."""
    if isinstance(error, ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return Diagnostic("", line, column, f"the character #x{ord(text[error.position]):04x}"
                       " may not stand in YAML")  # fmt: skip
    if not isinstance(error, MarkedYAMLError):
        return Diagnostic("", 1, 1, short(str(error)))
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    said = (error.problem or error.context or "the text is not YAML").strip()
    context = f" ({error.context.strip()})" if error.problem and error.context else ""
    return Diagnostic("", line, column, _line(said + context))


def _line(message: str) -> str:
    return " ".join(message.split())[:300]
