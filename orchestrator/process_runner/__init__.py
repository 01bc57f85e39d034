"""Run a command of a workflow apart from the worker: shell commands and scripts.

    ended = run(Command(["/bin/sh", "-c", "echo hi"]), Bounds(deadline=60, max_output=1 << 20))

A *guardian* process starts the command, passes it its input, and ends it with all its descendants:
at the deadline, when it writes too much, and when the worker has died. How well the command is
isolated from the machine depends on the machine (`isolation`). Linux only.
"""

from orchestrator.process_runner.isolation import Isolation, available_isolation
from orchestrator.process_runner.runner import (
    Bounds,
    Command,
    Ended,
    GuardianLost,
    launch,
    run,
)

__all__ = [
    "Bounds",
    "Command",
    "Ended",
    "GuardianLost",
    "Isolation",
    "available_isolation",
    "launch",
    "run",
]
