"""Screens of the command line as a terminal shows them, drawn as SVG for the documentation.

What differs from run to run (ids, times, names of hosts) is replaced, so that a screen changes
only when the command line does.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "screens"
#: Of the drawing; a terminal that is wider keeps the names of hosts from breaking lines.
WIDTH = 112
TERMINAL = 200

_TOKEN = re.compile(
    r"\x1b\[(?P<args>[0-9;?]*)(?P<code>[A-Za-z])|(?P<control>[\r\n])|(?P<text>[^\x1b\r\n]+)"
)
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MASKS = (
    (re.compile(r"\d\d:\d\d:\d\d\.\d{3}"), "12:00:00.000"),
    (re.compile(r"\b\d+ ms\b|\b\d+\.\d s\b"), "12 ms"),
    (re.compile(r"\bworker-\d@[\w.-]+"), "worker-1@host"),
)


def typed(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[str, int]:
    """What a terminal shows once a command has ended, with its colours; and its status."""
    ours, theirs = pty.openpty()
    env = {**env, "TERM": "xterm-256color", "COLUMNS": str(TERMINAL), "LINES": "60"}
    process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    return shown(written.decode()), process.wait()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


def shown(written: str) -> str:
    """What is left on a terminal of what was written: the live tree draws over itself."""
    lines, row = [""], 0
    for token in _TOKEN.finditer(written):
        if token["text"]:
            lines[row] += token["text"]
        elif token["control"] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif token["code"] == "A":
            row = max(row - int(token["args"] or 1), 0)
        elif token["code"] == "K":
            lines[row] = ""
        elif token["code"] == "m":
            lines[row] += token[0]
    return "\n".join(lines).rstrip()


def masked(screen: str) -> str:
    """The screen without what differs from run to run. The first id is 1, the next one 2."""
    known: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        return known.setdefault(found[0], f"01900000-0000-7000-8000-{len(known) + 1:012}")

    screen = _ID.sub(name, screen)
    for pattern, fixed in _MASKS:
        screen = pattern.sub(fixed, screen)
    return screen


def svg(title: str, screen: str) -> str:
    """The screen as a drawing."""
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="standard"
    )
    console.print(Text.from_ansi(screen))
    return console.export_svg(title=title, unique_id=re.sub(r"\W+", "-", title))
