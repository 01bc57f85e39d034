"""Reads YAML 1.2 from the events of ruamel.yaml's parsers.

Theory of operation. ruamel.yaml has two parsers. The Python parser knows YAML 1.2. The C parser is
twenty times as fast but knows YAML 1.1, whose grammar is slightly narrower. Both read alike what
both accept, except for the rare characters in `yaml_parsers`. So the C parser reads first, if it
is installed; if it refuses the text, the Python parser decides and its message counts. The parsers
only supply the grammar: `yaml_scalars` decides what a scalar means, `value_builder` checks the
bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml.error import YAMLError
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

from orchestrator.document.diagnostics import Diagnostic, MalformedDocument
from orchestrator.document.message_text import quoted
from orchestrator.document.parser.open_values import AnchoredValue
from orchestrator.document.parser.value_builder import Builder
from orchestrator.document.parser.yaml_parsers import (
    c_events,
    can_use_c_parser,
    diagnostic_of,
    python_events,
)
from orchestrator.document.parser.yaml_scalars import (
    MERGE,
    TAG,
    InvalidScalar,
    display_tag,
    plain,
    tagged,
)
from orchestrator.document.source_positions import Position, SourcePosition

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def read(text: str) -> AnchoredValue:
    """Return the value of a YAML document with its positions. Raise `MalformedDocument`."""
    if can_use_c_parser(text):
        try:
            return _Reader().read(c_events(text))
        except YAMLError:
            pass  # the Python parser decides
    try:
        return _Reader().read(python_events(text))
    except YAMLError as error:
        raise MalformedDocument([diagnostic_of(error, text)]) from error
    except (ValueError, IndexError, AttributeError, AssertionError, RecursionError) as error:
        # Report this text as not being YAML. ruamel.yaml raises these errors, such as IndexError,
        # by mistake for some texts that occur only in attacks and fuzzing.
        raise MalformedDocument([Diagnostic("", 1, 1, "the text is not YAML")]) from error


class _Reader:
    """One pass over the events of a text."""

    def __init__(self) -> None:
        self.build = Builder()
        self.anchors: dict[str, AnchoredValue] = {}
        self.open_anchors: list[str | None] = []  # anchors of the open mappings and lists
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
        """Add a key. It counts as it is written: `on`, `404` and `null` are texts."""
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
    """Return the text with surrogate pairs joined to characters. Only escapes can write them, and
    YAML includes JSON's escapes."""
    if text.isascii() or not _PAIR.search(text):
        return text
    return _PAIR.sub(
        lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), text
    )


def _tag(event: Any) -> str | None:
    return None if event.tag is None else str(event.tag)
