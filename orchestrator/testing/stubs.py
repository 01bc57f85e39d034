"""What stands in for a task, or for an answer over HTTP.

tasks={
"shop.reserve": {"reservation": 1},              # returns this value
"shop.charge": lambda amount, card: amount,       # is called with the task's arguments
"shop.ship": sequence(raises(ConnectionError), {"parcel": 7}),
"shop.refund": raises(CardDeclined("no money")),
"shop.bake": takes({"cake": 1}, minutes=40),      # by the virtual clock
"shop.mail": lost(),                              # the worker dies with it
}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

Stub = Any
"""A value, a function, or what the functions of this module return."""


class WorkerLost(BaseException):
    """Raised where a worker dies: nothing of its attempt is committed after it."""


@dataclass(frozen=True)
class Raises:
    """A stub that raises. See `raises`."""

    error: BaseException | type[BaseException]


@dataclass(frozen=True)
class Takes:
    """A stub that takes time. See `takes`."""

    stub: Stub
    duration: timedelta


@dataclass
class StubSequence:
    """A stub that differs from call to call. See `sequence`."""

    stubs: Sequence[Stub]
    calls: int = field(default=0, compare=False)

    def following(self) -> Stub:
        """Return the stub of the next call."""
        stub = self.stubs[min(self.calls, len(self.stubs) - 1)]
        self.calls += 1
        return stub


def raises(error: BaseException | type[BaseException], *args: Any) -> Raises:
    """Return a stub that raises this exception: an instance, or a class with its arguments."""
    if isinstance(error, type):
        return Raises(error(*args))
    if args:
        raise TypeError("arguments belong to a class, not to an exception")
    return Raises(error)


def sequence(*stubs: Stub) -> StubSequence:
    """Return a stub whose first call is the first of these, and so on; the last one repeats."""
    if not stubs:
        raise TypeError("a sequence has at least one stub")
    return StubSequence(stubs)


def takes(stub: Stub = None, **duration: float) -> Takes:
    """Return a stub that ends after a time of the virtual clock: ``takes(5, minutes=2)``.

    Other work goes on meanwhile, and timeouts fire. `duration`: as for `datetime.timedelta`.
    """
    return Takes(stub, timedelta(**duration))


def lost() -> Raises:
    """Return a stub whose worker dies before it has done anything."""
    return Raises(WorkerLost("the stub loses its worker"))


def chosen(stub: Stub) -> Stub:
    """Return the stub of one call: sequences move on."""
    while isinstance(stub, StubSequence):
        stub = stub.following()
    return stub


def answer(stub: Stub, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return what a stub returns for these arguments, or raise what it raises."""
    stub = chosen(stub)
    if isinstance(stub, Takes):
        return answer(stub.stub, args, kwargs)
    if isinstance(stub, Raises):
        raise stub.error
    function: Callable[..., Any] | None = stub if callable(stub) else None
    return stub if function is None else function(*args, **kwargs)


def fresh(stub: Stub) -> Stub:
    """Return a stub as it was before its first call; values and functions are shared."""
    if isinstance(stub, StubSequence):
        return StubSequence([fresh(each) for each in stub.stubs])
    if isinstance(stub, Takes):
        return Takes(fresh(stub.stub), stub.duration)
    return stub
