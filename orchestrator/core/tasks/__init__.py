"""Every kind of task, one file each. Importing the package registers them all."""

from orchestrator.core.kinds import KINDS
from orchestrator.core.tasks import (
    call,
    do,
    emit,
    extension,
    for_,
    fork,
    listen,
    raise_,
    run,
    set,  # noqa: A004
    switch,
    try_,
    undo,
    wait,
)

__all__ = [
    "KINDS",
    "call",
    "do",
    "emit",
    "extension",
    "for_",
    "fork",
    "listen",
    "raise_",
    "run",
    "set",
    "switch",
    "try_",
    "undo",
    "wait",
]
