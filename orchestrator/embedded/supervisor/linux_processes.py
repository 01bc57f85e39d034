"""What the subreaper asks of Linux: death signals, orphans, ends of children.

The subreaper loads this file, or that of another system, by its path: both import nothing of ours
and have the same functions.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Collection, Iterator

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def signal_at_parents_end(number: int) -> None:
    """Receive a signal when the thread that started this process ends."""
    _prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def pipe(*, blocking: bool) -> tuple[int, int]:
    """Return both ends of a pipe that no other program inherits."""
    return os.pipe2(os.O_CLOEXEC | (0 if blocking else os.O_NONBLOCK))


def ended_children(
    mine: Collection[int], at_end: Callable[[int], None]
) -> Iterator[tuple[int, int]]:
    """Collect every child that has ended: its id and its wait status.

    `at_end` is called for each of `mine`, before its id may belong to another process.
    """
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None:
            return
        if found.si_pid in mine:
            at_end(found.si_pid)
        yield os.waitpid(found.si_pid, 0)


def children() -> set[int]:
    """Return the ids of all children, orphans that were adopted too."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return {int(pid) for pid in file.read().split()}
    except FileNotFoundError:
        return set()  # a kernel without that list: killing process groups must suffice
