"""Finds running processes on this machine, to check that none was left behind (Linux)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether a process with that id runs; a zombie does not count."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def with_variable(variable: str) -> dict[int, str]:
    """Return the processes started with ``NAME=value`` in their environment: name by process id."""
    entry = variable.encode()
    return {pid: name for pid, name in _processes() if entry in _environment(pid)}


def _processes() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and is_alive(int(folder.name)):
            with contextlib.suppress(OSError):  # the process has just ended
                yield int(folder.name), (folder / "comm").read_text().strip()


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # the process has ended, or belongs to another user
        return []
