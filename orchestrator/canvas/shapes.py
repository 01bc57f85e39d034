"""What a canvas means, without Celery's classes: a tree of calls, rows and parallel members.

The converter works in two stages: `signatures` reads Celery's signatures into this tree, `document`
writes the tree as a document and its input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Previous:
    """Stands in an argument list for the result of what ran before."""

    def __copy__(self) -> Previous:
        return self

    def __deepcopy__(self, _: Any) -> Previous:
        return self

    def __reduce__(self) -> str:
        return "PREVIOUS"

    def __repr__(self) -> str:
        return "<previous result>"


#: The only one: it is compared by identity.
PREVIOUS = Previous()


class Expr:
    """A jq program of a compensation: ``expr("$output.id")`` (see `compensated_by`)."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"expr({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expr) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __json__(self) -> str:
        return self.text


def expr(text: str) -> Expr:
    """Return an expression for an argument of a compensation. ``$input`` and ``$output`` are those
    of the step that is undone, ``$error`` is the cause."""
    return Expr(text)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: `seconds` from the moment the step is reached, or the absolute time `epoch`
    (seconds since 1970)."""

    seconds: float | None = None
    epoch: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One task. Values of `args` and `kwargs` are input of the document, except `PREVIOUS` and
    `Expr`; `literals` are keyword arguments that belong to the document itself. `errback` is None,
    ``id`` or ``error``: what the task gets before its own arguments, as an error callback."""

    task: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    literals: Mapping[str, Any] = field(default_factory=dict)
    queue: str | None = None
    priority: int | None = None
    time_limit: float | None = None
    delay: Moment | None = None
    expires: Moment | None = None
    compensation: Call | None = None
    errback: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Shapes that run one after the other; each begins with the result of the one before."""

    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Parallel:
    """Members that run at the same time; the result is the list of theirs."""

    members: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Guarded:
    """A shape with error callbacks: they run once if it fails, then its error goes on."""

    shape: Shape
    errbacks: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Linked:
    """Success callbacks, beside the rest of a row. The result is the rest's. What happens to the
    callbacks changes nothing else."""

    rest: Shape | None
    links: tuple[Shape, ...]


Shape = Call | Row | Parallel | Guarded | Linked
