"""Pages of the documentation as files and terminal sessions.

A block of Python or YAML whose first line is a comment with a file's name is that file. A
``console`` block has commands, each after ``$``, and their output.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """One command of a page, with what it prints."""

    line: str
    prints: str


@dataclass(frozen=True)
class Page:
    """A page; `files` by their names, `commands` in their order."""

    name: str
    files: dict[str, str]
    commands: list[Command]


def page(name: str) -> Page:
    """Read a page of `docs`."""
    blocks = _BLOCK.findall((DOCS / name).read_text())
    files = {
        text.partition("\n")[0].removeprefix("# "): text
        for language, text in blocks
        if language in ("python", "yaml") and text.startswith("# ")
    }
    return Page(
        name, files, [one for kind, text in blocks if kind == "console" for one in _read(text)]
    )


def _read(session: str) -> list[Command]:
    found = []
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        line, _, prints = part.partition("\n")
        found.append(Command(line, prints.strip()))
    return found


def same(given: str, wanted: str) -> bool:
    """Whether two outputs say the same: line by line, JSON by its value."""
    return _values(given) == _values(wanted)


def _values(text: str) -> list[Any]:
    """JSON values, which may take several lines, and lines."""
    decoder, found, text = json.JSONDecoder(), [], text.strip()
    while text:
        if text[0] in "{[":
            value, end = decoder.raw_decode(text)
        else:
            value, end = text.partition("\n")[0], len(text.partition("\n")[0])
        found.append(value)
        text = text[end:].strip()
    return found
