"""Text from outside on a terminal: an input, a worker or a service may have put anything in it.

Control characters move the cursor, hide lines or set the clipboard; characters that turn the
direction of writing make one command look like another. All of them are shown escaped. Values of
the formats for programs (JSON, YAML) keep them, in the escapes that the format has.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

import click

_HARMFUL = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for tab and line feed
    r"\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"  # direction, line separators
    r"\ud800-\udfff\ufeff"  # halves of pairs, which no terminal can be sent
)
_IN_LINES = re.compile(f"[{_HARMFUL}]")
_IN_LINE = re.compile(rf"[{_HARMFUL}\t\n]")
#: Values of advice that were put together of quoted parts.
_COMPOSED = frozenset({"worker", "modules", "meant", "event_arguments"})
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """A text as one line, with every control character escaped as Python has it."""
    return _IN_LINE.sub(_escaped, text)


def visible_lines(text: str) -> str:
    """A text of several lines; tabs and line feeds stay."""
    return _IN_LINES.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    number = ord(match[0])
    return _SHORT.get(match[0]) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")


def in_json(text: str) -> str:
    """A JSON text whose strings are escaped wherever they would act on a terminal. What is not
    within a string has no such character."""
    return _IN_LINES.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def is_harmful(text: str) -> bool:
    """Whether a text holds a character that would act on a terminal."""
    return _IN_LINES.search(text) is not None


def say(text: object, *, err: bool = False) -> None:
    """Print text that may come from outside."""
    click.echo(visible_lines(str(text)), err=err)


def command(template: str, values: Mapping[str, Any]) -> str:
    """A command, or advice with one in it, that can be pasted into a shell: every text is
    quoted, but for those that are commands or sentences themselves (`_COMPOSED`)."""
    return template.format_map(
        {
            name: value if name in _COMPOSED else shlex.quote(visible(str(value)))
            for name, value in values.items()
        }
    )
