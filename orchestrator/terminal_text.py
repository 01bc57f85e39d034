"""Text from outside on a terminal. An input, a worker or a remote service may put anything in it.

Control characters can move the cursor, hide lines or set the clipboard. Characters that change the
writing direction can make one command look like another. All of them are printed escaped; JSON and
YAML keep the values, written with the escapes of the format.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

_HARMFUL = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls except tab and line feed
    r"\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"  # direction, line separators
    r"\ud800-\udfff\ufeff"  # lone surrogates, which cannot be encoded
)
_IN_LINES = re.compile(f"[{_HARMFUL}]")
_IN_LINE = re.compile(rf"[{_HARMFUL}\t\n]")
#: Values of an advice that contain quoted parts already.
_COMPOSED = frozenset({"worker", "modules", "meant", "event_arguments"})
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """Return a text as one line, with every control character escaped as in Python."""
    return _IN_LINE.sub(_escaped, text)


def visible_lines(text: str) -> str:
    """Escape the control characters of a text of several lines; tabs and line feeds stay."""
    return _IN_LINES.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    number = ord(match[0])
    return _SHORT.get(match[0]) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")


def in_json(text: str) -> str:
    """Escape the harmful characters of a JSON text. Only its strings can contain such
    characters."""
    return _IN_LINES.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def is_harmful(text: str) -> bool:
    """Whether a text contains a character that acts on a terminal."""
    return _IN_LINES.search(text) is not None


def fill_command(template: str, values: Mapping[str, Any]) -> str:
    """Fill a command, or an advice with a command, so that it can be pasted into a shell. Every
    value is quoted, except those of `_COMPOSED`."""
    return template.format_map(
        {
            name: value if name in _COMPOSED else shlex.quote(visible(str(value)))
            for name, value in values.items()
        }
    )


def worker_start_command(app: str | None) -> dict[str, str]:
    """Return the command that starts a worker of an app as `worker`, and the setting with its
    modules as `modules`. `app` is the argument of ``celery -A``; None: our own worker."""
    if app is None:
        return {"worker": "orchestrator worker", "modules": "ORCHESTRATOR_IMPORTS"}
    return {
        "worker": f"celery -A {shlex.quote(visible(app))} worker",
        "modules": f"the app {shlex.quote(visible(app))}",
    }
