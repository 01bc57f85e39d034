"""Native threads in the main process of a gevent worker, where `threading` makes greenlets.

All greenlets of a process share one thread. psycopg2 waits for Postgres in C, which gevent cannot
see, so that one statement would stop all tasks; and a task that computes stops every greenlet, a
heartbeat among them. So statements run in native threads while their greenlet waits, and the
heartbeat has a native thread of its own.

psycopg2 has a switch for gevent (`set_wait_callback`), which is not used: it holds for all
connections of a process, and under it COPY does not work. Users may have turned it on.

In every process but such a worker's, `call` only calls the function.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

#: gevent's pool of the threads for statements; None in a process without `enable`.
_pool: Any = None


def enable(size: int) -> None:
    """Prepare the main process of a gevent worker: at most `size` calls run at the same time."""
    global _pool
    from gevent.threadpool import ThreadPool

    _pool = ThreadPool(size)


def enabled() -> bool:
    """Return whether `threading` makes greenlets here, and this module native threads."""
    return _pool is not None


def call(function: Callable[..., T], *args: Any) -> T:
    """Return the result of a function that blocks. Other greenlets run meanwhile.

    In a native thread the function is called directly."""
    if _pool is None:
        return function(*args)
    result, error = _pool.apply(_outcome, (function, args))
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def _outcome(function: Callable[..., T], args: Any) -> tuple[T | None, BaseException | None]:
    """Return the result or the error: gevent prints the traceback of an error that is raised."""
    try:
        return function(*args), None
    except BaseException as error:  # noqa: BLE001  it is raised in the greenlet
        return None, error


class Event(Protocol):
    """What is used of `threading.Event`."""

    def set(self) -> None:
        """Let every `wait` return."""

    def clear(self) -> None:
        """Let `wait` wait again."""

    def is_set(self) -> bool:
        """Return whether `set` was called last."""

    def wait(self, timeout: float) -> bool:
        """Wait for at most `timeout` seconds; return `is_set()`."""


class Thread(Protocol):
    """What is used of `threading.Thread`."""

    def is_alive(self) -> bool:
        """Return whether the function still runs."""

    def join(self, timeout: float) -> None:
        """Wait until the function has returned, for at most `timeout` seconds."""


def event() -> Event:
    """Return an event for native threads; a greenlet that waits for it stops all greenlets."""
    return _PipeEvent() if enabled() else threading.Event()


def start(function: Callable[[], None], name: str) -> Thread:
    """Start a native thread, which does not keep the process alive, and return it."""
    if enabled():
        return _NativeThread(function)
    thread = threading.Thread(target=function, name=name, daemon=True)
    thread.start()
    return thread


class _PipeEvent:
    """An event that waits in the kernel: gevent has replaced the locks of `threading.Event`."""

    def __init__(self) -> None:
        from gevent import monkey

        self._reader, self._writer = os.pipe()
        self._is_set = False
        self._poll = monkey.get_original("select", "poll")

    def set(self) -> None:
        if not self._is_set:
            self._is_set = True
            os.write(self._writer, b"\0")

    def clear(self) -> None:
        if self._is_set:
            self._is_set = False
            os.read(self._reader, 1)

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float) -> bool:
        poll = self._poll()
        poll.register(self._reader)
        poll.poll(timeout * 1000)
        return self._is_set


class _NativeThread:
    """A thread of gevent's pools, of which each has its own."""

    def __init__(self, function: Callable[[], None]) -> None:
        from gevent.threadpool import ThreadPool

        self._ended = _PipeEvent()
        self._function = function
        self._pool = ThreadPool(1)
        self._pool.spawn(self._run)

    def _run(self) -> None:
        try:
            _outcome(self._function, ())
        finally:
            self._ended.set()

    def is_alive(self) -> bool:
        return not self._ended.is_set()

    def join(self, timeout: float) -> None:
        self._ended.wait(timeout)
