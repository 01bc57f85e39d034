"""The threads that serve requests: a fixed number at work, and any number that wait.

A request that waits (for an instance's end, for the next event of a stream) lends its place to
another meanwhile. So waits starve nobody, and what does work is never more than was allowed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

_Job = tuple["Future[Any]", Callable[[], Any]]


class RequestThreads(Executor):
    """At most `size` threads at work; each starts when there is something for it to do."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._queue: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._lent = 0
        self._stopping = False

    @property
    def waiting(self) -> int:
        """How many jobs no thread has begun."""
        return len(self._queue)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `fn` called by one of the threads."""
        future: Future[T] = Future()
        with self._changed:
            if self._stopping:
                raise RuntimeError("the pool has stopped")
            self._queue.append((future, partial(fn, *args, **kwargs)))
            self._staff()
        return future

    @contextmanager
    def lend_thread(self) -> Iterator[None]:
        """While the block waits, another thread may work in the place of the present one."""
        with self._changed:
            self._lent += 1
            if self._queue:
                self._staff()
        try:
            yield
        finally:
            with self._changed:
                self._lent -= 1
                self._changed.notify()  # an idle one is too many now

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; what stands in line is done still, unless it is cancelled."""
        with self._changed:
            self._stopping = True
            while cancel_futures and self._queue:
                self._queue.pop()[0].cancel()
            self._changed.notify_all()
            threads = set(self._threads)
        for thread in threads if wait else ():
            thread.join()

    # -- with the lock held ------------------------------------------------------------------

    def _staff(self) -> None:
        """See that somebody takes the job that came last."""
        if len(self._queue) > self._idle and len(self._threads) - self._lent < self._size:
            thread = threading.Thread(target=self._run, name="requests", daemon=True)
            self._threads.add(thread)
            thread.start()
        else:
            self._changed.notify()

    def _too_many(self) -> bool:
        return len(self._threads) - self._lent > self._size

    # -- in the threads ----------------------------------------------------------------------

    def _run(self) -> None:
        while (job := self._next()) is not None:
            future, call = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001  it is the caller's to look at
                future.set_exception(error)
            else:
                future.set_result(result)
            del job, future, call  # nothing of a request outlives it

    def _next(self) -> _Job | None:
        """The next job; None: this thread has to go."""
        with self._changed:
            while not self._too_many():
                if self._queue:
                    return self._queue.popleft()
                if self._stopping:
                    break
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            self._threads.discard(threading.current_thread())
            self._changed.notify()  # it may have been woken for a job
            return None
