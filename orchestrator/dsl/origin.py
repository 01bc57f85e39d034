"""The place in the user's code that made a task."""

from __future__ import annotations

import sys
from typing import NamedTuple

_OWN = __name__.rpartition(".")[0] + "."


class Origin(NamedTuple):
    """A file and a line; shown as ``orders.py:12``."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


#: The place of a task that a document brought, or that no file made.
NOWHERE = Origin("", 0)


def origin() -> Origin:
    """Return the place of the nearest caller outside this package."""
    frame = sys._getframe(1)  # noqa: SLF001  `inspect.stack` reads every source file
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if not f"{name}.".startswith(_OWN):
            return Origin(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return NOWHERE


def located(place: Origin, message: str) -> str:
    """Return a message that begins with a place, if the place is known."""
    return f"{place}: {message}" if place.file else message
