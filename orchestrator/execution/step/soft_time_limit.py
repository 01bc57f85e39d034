"""Restricts Celery's soft time limit to the task's body.

At the limit the pool's main process sends SIGUSR1, whose handler raises `SoftTimeLimitExceeded`
at any point of the program. Inside a claim or a commit that would break the protocol with
Postgres. So the signal is blocked outside the body, and discarded if it comes after the body.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNAL = {signal.SIGUSR1}


class SoftLimit:
    """The soft limit of one message. Where none `exists`, its methods do nothing."""

    def __init__(self, exists: bool) -> None:
        self.exists = exists

    @contextmanager
    def block_signal(self) -> Iterator[None]:
        """Block the signal while the message is processed."""
        if not self.exists:
            yield
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNAL)
        try:
            yield
        finally:
            self._discard()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNAL)

    @contextmanager
    def allow_signal(self) -> Iterator[None]:
        """Allow the signal in the task's body. A blocked signal is delivered at once."""
        if not self.exists:
            yield
            return
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNAL)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNAL)

    @staticmethod
    def _discard() -> None:
        while signal.sigtimedwait(_SIGNAL, 0) is not None:
            pass
