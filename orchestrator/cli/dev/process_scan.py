"""Who runs on this machine: to see that nothing was left behind (Linux)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether a process of that id runs; one that only waits to be buried does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def with_variable(variable: str) -> dict[int, str]:
    """The processes that were started with ``NAME=value`` in their environment, by id."""
    entry = variable.encode()
    return {pid: name for pid, name in _processes() if entry in _environment(pid)}


def _processes() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and is_alive(int(folder.name)):
            with contextlib.suppress(OSError):  # it has just ended
                yield int(folder.name), (folder / "comm").read_text().strip()


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return []
