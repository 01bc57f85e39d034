"""Notices the exit of the pool's children at once, on systems with process descriptors (Linux).

Celery notices it when a pipe closes. On a busy machine the pipe closes a moment before the kernel
reports the exit; Celery then checks too early, and checks again only 5 seconds later.
"""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable
from typing import Any

#: Interval of the search for new children, in seconds.
SCAN_INTERVAL = 1.0


class ChildExitWatcher:
    """A thread that waits for the exit of any process of the pool.

    It calls `on_exit(pid, exit_code)` once per process. The exit code is negative for a signal,
    and None if it is unknown.
    """

    def __init__(self, on_exit: Callable[[int, int | None], None]) -> None:
        self._on_exit = on_exit
        self._pool: Any = None
        self._watched: set[Any] = set()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(
            target=self._run, name="orchestrator-child-exits", daemon=True
        )

    def watch(self, pool: Any) -> None:
        """Watch the present and future processes of this billiard pool."""
        self._pool = pool
        if hasattr(os, "pidfd_open") and not self._thread.is_alive():
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._find_new()
            for key, _ in self._selector.select(SCAN_INTERVAL):
                self._ended(key.data, key.fd)

    def _find_new(self) -> None:
        """Watch new processes, and drop those that billiard has removed from its list.

        Billiard has no callback for the processes that it starts."""
        listed = list(self._pool._pool)  # noqa: SLF001
        self._watched.intersection_update(listed)
        for process in listed:
            if process not in self._watched and process.pid:
                self._watched.add(process)
                self._watch_process(process.pid)

    def _watch_process(self, pid: int) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            return  # the process has exited, and Celery has noticed it
        self._selector.register(descriptor, selectors.EVENT_READ, pid)

    def _ended(self, pid: int, descriptor: int) -> None:
        code = _exit_code(descriptor)
        self._selector.unregister(descriptor)
        os.close(descriptor)
        self._on_exit(pid, code)


def _exit_code(descriptor: int) -> int | None:
    """Return the exit code of the process, which billiard reaps later (WNOWAIT)."""
    try:
        status = os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except OSError:
        return None
    if status is None:
        return None
    return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status
