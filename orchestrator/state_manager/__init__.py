"""The State Manager: reads stimuli, calls the core, saves. The only writer of state."""

from orchestrator.state_manager.claimed_attempt import ClaimedAttempt, ContinuationOffer, LeaseOwner
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
