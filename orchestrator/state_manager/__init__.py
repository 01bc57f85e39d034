"""The State Manager: reads stimuli, calls the core, saves. The only writer of state.

A name's module is loaded at its first use: most of them need the driver of Postgres, and tests
without servers use `ClaimedAttempt` without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.state_manager.claimed_attempt import (
        ClaimedAttempt,
        ContinuationOffer,
        LeaseOwner,
    )
    from orchestrator.state_manager.command_decision import Commander
    from orchestrator.state_manager.decision_lease import Decider
    from orchestrator.state_manager.deliberation import Deliberation
    from orchestrator.state_manager.manager import StateManager
    from orchestrator.state_manager.transition_runner import TransitionRunner, new_token
    from orchestrator.state_manager.workflow_cache import WorkflowCache

__all__ = [
    "ClaimedAttempt",
    "Commander",
    "ContinuationOffer",
    "Decider",
    "Deliberation",
    "LeaseOwner",
    "StateManager",
    "TransitionRunner",
    "WorkflowCache",
    "new_token",
]

_MODULES = {
    "ClaimedAttempt": "claimed_attempt",
    "Commander": "command_decision",
    "ContinuationOffer": "claimed_attempt",
    "Decider": "decision_lease",
    "Deliberation": "deliberation",
    "LeaseOwner": "claimed_attempt",
    "StateManager": "manager",
    "TransitionRunner": "transition_runner",
    "WorkflowCache": "workflow_cache",
    "new_token": "transition_runner",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
