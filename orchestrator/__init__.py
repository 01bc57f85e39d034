"""Durable workflows for teams that run Celery: the names that a user's project needs.

    from orchestrator import install, current_step, WorkflowError

Importing this is cheap, since it imports nothing: a name's module is loaded at its first use.
"""

# Type checkers treat this constant like `typing.TYPE_CHECKING`. It is defined here because an
# import of `typing` would take most of the import time of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from orchestrator.errors import WorkflowError
    from orchestrator.execution.installation import install
    from orchestrator.execution.step.current_step import CurrentStep, current_step

__all__ = ["CurrentStep", "WorkflowError", "current_step", "install"]

_MODULES = {
    "WorkflowError": "orchestrator.errors",
    "CurrentStep": "orchestrator.execution.step.current_step",
    "current_step": "orchestrator.execution.step.current_step",
    "install": "orchestrator.execution.installation",
}


def __getattr__(name: str) -> "Any":
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
