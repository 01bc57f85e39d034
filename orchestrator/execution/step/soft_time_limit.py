"""Celery's soft time limit, let in only where it belongs: into the task's body.

The pool's main process sends SIGUSR1, whose handler raises `SoftTimeLimitExceeded` wherever
the process happens to be; inside a claim or a commit that would tear the conversation with
Postgres. So the signal is blocked around the body, and dropped when it comes too late.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNAL = {signal.SIGUSR1}


class SoftLimit:
    """One message's soft limit; costs nothing where there is none."""

    def __init__(self, exists: bool) -> None:
        self.exists = exists

    @contextmanager
    def shut_out(self) -> Iterator[None]:
        """From the message's arrival to its end: the signal waits."""
        if not self.exists:
            yield
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNAL)
        try:
            yield
        finally:
            self._drop()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNAL)

    @contextmanager
    def let_in(self) -> Iterator[None]:
        """In the task's body: one that waited strikes at once. Once this is left, none does."""
        if not self.exists:
            yield
            return
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNAL)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNAL)

    @staticmethod
    def _drop() -> None:
        while signal.sigtimedwait(_SIGNAL, 0) is not None:
            pass
