"""The threads that serve requests: a bounded number work, and any number wait.

A request that waits (for an instance's end, for the next event of a stream) frees its thread slot
until it continues. So waiting requests block no others, and at most `size` requests work at a time.
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
    """An executor with at most `size` working threads. A thread starts when a job needs it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._queue: deque[_Job] = deque()
        self._later: deque[_Job] = deque()
        self._later_runs = False
        self._changed = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._freed = 0
        self._stopping = False
        #: Whether the current thread has freed its slot (`is_lent`), and whether it runs the one
        #: call of `submit_later` (`is_later`), which another may follow while this one waits.
        self._lent = threading.local()

    @property
    def waiting(self) -> int:
        """The number of jobs that no thread has begun."""
        return len(self._queue)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a call of `fn` by one of the threads."""
        future: Future[T] = Future()
        with self._changed:
            if self._stopping:
                raise RuntimeError("the pool has stopped")
            self._queue.append((future, partial(fn, *args, **kwargs)))
            self._start_or_wake()
        return future

    def submit_later(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a call that begins when no call of `submit` waits; these run one at a time."""
        future: Future[T] = Future()
        with self._changed:
            if self._stopping:
                raise RuntimeError("the pool has stopped")
            self._later.append((future, partial(fn, *args, **kwargs)))
            self._start_or_wake()
        return future

    @contextmanager
    def lend_thread(self) -> Iterator[None]:
        """While the block waits, another thread may use the slot of the current one. Inside of
        another such block it has no effect."""
        if getattr(self._lent, "is_lent", False):
            yield
            return
        self._lent.is_lent = True
        with self._changed:
            self._freed += 1
            if getattr(self._lent, "is_later", False):
                self._later_runs = self._lent.is_later = False
            if self._queue or self._later:
                self._start_or_wake()
        try:
            yield
        finally:
            self._lent.is_lent = False
            with self._changed:
                self._freed -= 1
                self._changed.notify()  # one idle thread is now surplus and must end

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no further job. Queued jobs are still done, unless they are cancelled."""
        with self._changed:
            self._stopping = True
            for queue in (self._queue, self._later):
                while cancel_futures and queue:
                    queue.pop()[0].cancel()
            self._changed.notify_all()
            threads = set(self._threads)
        for thread in threads if wait else ():
            thread.join()

    # -- under the lock ----------------------------------------------------------------------

    def _start_or_wake(self) -> None:
        """Start a thread for the latest job if needed and allowed, else wake an idle one."""
        jobs = len(self._queue) + (bool(self._later) and not self._later_runs)
        if jobs > self._idle and len(self._threads) - self._freed < self._size:
            thread = threading.Thread(target=self._run, name="requests", daemon=True)
            self._threads.add(thread)
            thread.start()
        else:
            self._changed.notify()

    def _is_surplus(self) -> bool:
        return len(self._threads) - self._freed > self._size

    # -- in the threads ----------------------------------------------------------------------

    def _run(self) -> None:
        while (job := self._next()) is not None:
            run, (future, call) = job
            run(future, call)
            del job, future, call  # free the request's objects now

    def _run_later(self, future: Future[Any], call: Callable[[], Any]) -> None:
        self._lent.is_later = True
        try:
            self._run_one(future, call)
        finally:
            with self._changed:
                if self._lent.is_later:
                    self._later_runs = self._lent.is_later = False
                if self._later:
                    self._start_or_wake()

    def _run_one(self, future: Future[Any], call: Callable[[], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  the future passes it to the caller
            future.set_exception(error)
        else:
            future.set_result(result)

    def _next(self) -> tuple[Callable[..., None], _Job] | None:
        """Return the next job, or None if this thread must end."""
        with self._changed:
            while not self._is_surplus():
                if self._queue:
                    return self._run_one, self._queue.popleft()
                if self._later and not self._later_runs:
                    self._later_runs = True
                    return self._run_later, self._later.popleft()
                if self._stopping:
                    break
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            self._threads.discard(threading.current_thread())
            self._changed.notify()  # this thread may have been woken for a job
            return None
