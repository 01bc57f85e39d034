"""Every kind of task, one file each. Importing the package registers all of them."""

from orchestrator.core.task_kinds import KINDS
from orchestrator.core.tasks import (
    call,
    child_compensation,
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
    wait,
)

__all__ = [
    "KINDS",
    "call",
    "child_compensation",
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
    "wait",
]
