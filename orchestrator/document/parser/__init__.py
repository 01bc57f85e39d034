"""From the text of a document to its value and the place of everything in it.

YAML 1.2 and JSON; only JSON's types come out, whatever the text is. Nothing but
`MalformedDocument` is raised, or `InvalidDocument` for a text that JSON can say and databases
can't keep (a NUL, half of a surrogate pair).
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
    """The value of a document, where everything in it stands, and how deep it is nested."""

    value: Json
    root: SourcePosition
    depth: int


def parse(source: bytes | str, media_type: str | None = None) -> Parsed:
    """Read a document.

    `media_type` is any that names JSON or YAML (parameters are ignored); without one, a text
    that begins as JSON does is JSON. Raises `MalformedDocument` or `InvalidDocument`.
    """
    text = _decoded(source)
    read = json_reader.read if _is_json(text, media_type) else yaml_reader.read
    found = read(text)
    return Parsed(found.value, found.position, found.height)


def _decoded(source: bytes | str) -> str:
    # A character is a byte at least, so that what is far too long is never encoded.
    size = len(source)
    try:
        if isinstance(source, str) and size <= MAX_BYTES:
            size = len(source.encode())
        if size > MAX_BYTES:
            raise _malformed(f"the document has {size} bytes, {MAX_BYTES} are the limit")
        text = source if isinstance(source, str) else source.decode()
    except UnicodeEncodeError as error:
        place = _position_after(str(source)[: error.start])
        raise _malformed("half of a surrogate pair in the document", *place) from error
    except UnicodeDecodeError as error:
        place = _position_after(error.object[: error.start].decode())
        raise _malformed("the document is not UTF-8", *place) from error
    return text.removeprefix(_BOM)


def _position_after(before: str) -> Position:
    """The line and column behind a text."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _is_json(text: str, media_type: str | None) -> bool:
    """Which of the two languages is it? Raises `MalformedDocument` for any other."""
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
