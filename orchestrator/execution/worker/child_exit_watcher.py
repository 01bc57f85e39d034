"""Sees a child of the pool die, at once, on systems that have process descriptors (Linux).

Celery notices by a pipe that closes; on a busy machine that happens a moment before the
kernel calls the process dead, Celery then looks too early, and looks again only 5 s later.
"""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable
from typing import Any

#: How often children that have just been started are looked for, in seconds.
SCAN = 1.0


class ChildExitWatcher:
    """A thread that waits for the end of any process of the pool.

    `gone(pid, exit_code)` is called for each, once; the exit code is negative for a signal.
    """

    def __init__(self, gone: Callable[[int, int | None], None]) -> None:
        self._gone = gone
        self._pool: Any = None
        self._known: set[Any] = set()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="orchestrator-deaths", daemon=True)

    def watch(self, pool: Any) -> None:
        """Watch the processes of this billiard pool, those to come included."""
        self._pool = pool
        if hasattr(os, "pidfd_open") and not self._thread.is_alive():
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._find_new()
            for key, _ in self._selector.select(SCAN):
                self._ended(key.data, key.fd)

    def _find_new(self) -> None:
        """Billiard tells nobody of the processes that it starts; what has ended and is no
        longer on its list is forgotten."""
        listed = list(self._pool._pool)  # noqa: SLF001
        self._known.intersection_update(listed)
        for process in listed:
            if process not in self._known and process.pid:
                self._known.add(process)
                self._begin(process.pid)

    def _begin(self, pid: int) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            return  # it has ended, and Celery has seen it
        self._selector.register(descriptor, selectors.EVENT_READ, pid)

    def _ended(self, pid: int, descriptor: int) -> None:
        code = _exit_code(descriptor)
        self._selector.unregister(descriptor)
        os.close(descriptor)
        self._gone(pid, code)


def _exit_code(descriptor: int) -> int | None:
    """How the process ended; it is left for billiard to collect."""
    try:
        found = os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except OSError:
        return None
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
