"""Every kind of task, one file each. Importing the package registers them all."""

from orchestrator.core.kinds import KINDS
from orchestrator.core.tasks import (
    call,
    do,
    raise_,
    set,  # noqa: A004
    switch,
    try_,
    wait,
)

__all__ = ["KINDS", "call", "do", "raise_", "set", "switch", "try_", "wait"]
