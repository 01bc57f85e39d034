"""The State Manager: takes stimuli, calls the core, saves. The only writer of state."""

from orchestrator.state_manager.bringing import Bringer, new_token
from orchestrator.state_manager.commanding import Commander
from orchestrator.state_manager.manager import StateManager
from orchestrator.state_manager.work import Holder, Take, Work
from orchestrator.state_manager.workflows import Workflows

__all__ = [
    "Bringer",
    "Commander",
    "Holder",
    "StateManager",
    "Take",
    "Work",
    "Workflows",
    "new_token",
]
