"""The processes below the guardian. Standard library only."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def descendants(root: int) -> list[int]:
    """Return all living descendants of a process, orphans that it has adopted included."""
    found: list[int] = []
    waiting = [root]
    while waiting:
        parent = waiting.pop()
        children: list[int] = []
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                children += [int(pid) for pid in (task / "children").read_text().split()]
        found += children
        waiting += children
    return found


def kill_all_of(uid: int) -> None:
    """End every process of a user id that only one command has."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        os._exit(0)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
