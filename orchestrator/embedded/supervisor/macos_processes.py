"""What the subreaper asks of macOS, by what every Unix has (see `linux_processes`).

macOS has neither death signals nor the adoption of orphans. The subreaper notices the parent's end
by the end of its socket. What its processes leave behind it kills by their process groups; if it is
killed itself, they go on. It was never run on a Mac; its functions run on Linux too, and are
tested there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator


def adopt_orphans() -> None:
    """Do nothing: orphans become children of process 1."""


def signal_at_parents_end(number: int) -> None:
    """Do nothing: the kernel sends no such signal."""


def pipe(*, blocking: bool) -> tuple[int, int]:
    """Return both ends of a pipe that no other program inherits."""
    ends = os.pipe()  # Python makes it close-on-exec
    for end in ends:
        os.set_blocking(end, blocking)
    return ends


def ended_children(
    mine: Collection[int], at_end: Callable[[int], None]
) -> Iterator[tuple[int, int]]:
    """Collect every process of `mine` that has ended: its id and its wait status.

    `at_end` is called after its status was collected, since `waitid` came with Python 3.13: its
    group exists on only while members of it live, whom the call is for.
    """
    for child in sorted(mine):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            at_end(pid)
            yield pid, status


def children() -> set[int]:
    """Return nothing: there are no adopted orphans."""
    return set()
