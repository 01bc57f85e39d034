"""Parses the text of a document into its value and the positions of everything in it.

It reads YAML 1.2 and JSON and returns JSON types only. It raises `MalformedDocument`, or
`InvalidDocument` for a text that JSON allows and databases cannot store (a NUL, half of a surrogate
pair).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from orchestrator.document.diagnostics import Diagnostic, MalformedDocument
from orchestrator.document.message_text import quoted
from orchestrator.document.parser import json_reader, yaml_reader
from orchestrator.document.parser.bounds import MAX_BYTES
from orchestrator.document.source_positions import Position, SourcePosition

Json = Any
_BOM = "\ufeff"


class Parsed(NamedTuple):
    """The value of a document, its positions, and its depth of nesting."""

    value: Json
    root: SourcePosition
    depth: int


def parse(source: bytes | str, media_type: str | None = None) -> Parsed:
    """Read a document.

    `media_type` is any that names JSON or YAML; its parameters are ignored. Without one, a text
    that begins like JSON is read as JSON. Raises `MalformedDocument` or `InvalidDocument`.
    """
    text = _decoded(source)
    read = json_reader.read if _is_json(text, media_type) else yaml_reader.read
    parsed = read(text)
    return Parsed(parsed.value, parsed.position, parsed.height)


def _decoded(source: bytes | str) -> str:
    # Compare the number of characters with the limit before encoding the text. Each character has
    # at least one byte, so a text with more characters than `MAX_BYTES` need not be encoded.
    size = len(source)
    try:
        if isinstance(source, str) and size <= MAX_BYTES:
            size = len(source.encode())
        if size > MAX_BYTES:
            raise _malformed(f"the document has {size} bytes; the limit is {MAX_BYTES}")
        text = source if isinstance(source, str) else source.decode()
    except UnicodeEncodeError as error:
        position = _position_after(str(source)[: error.start])
        raise _malformed("half of a surrogate pair in the document", *position) from error
    except UnicodeDecodeError as error:
        position = _position_after(error.object[: error.start].decode())
        raise _malformed("the document is not UTF-8", *position) from error
    return text.removeprefix(_BOM)


def _position_after(before: str) -> Position:
    """Return the line and column after a text."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _is_json(text: str, media_type: str | None) -> bool:
    """Return whether the text is JSON, not YAML. Raise `MalformedDocument` for another media
    type."""
    if media_type is None:
        start = text.lstrip(" \t\r\n")
        return start.startswith("{") and start[1:].lstrip(" \t\r\n").startswith(('"', "}"))
    subtype = media_type.partition(";")[0].strip().lower().rpartition("/")[2]
    if subtype == "json" or subtype.endswith("+json"):
        return True
    if subtype.removeprefix("x-").removeprefix("vnd.") in ("yaml", "yml") or subtype.endswith(
        "+yaml"
    ):
        return False
    raise _malformed(f"{quoted(media_type)} is neither JSON nor YAML")


def _malformed(message: str, line: int = 1, column: int = 1) -> MalformedDocument:
    return MalformedDocument([Diagnostic("", line, column, message)])
