"""The Scheduler Component: what falls due, and what the beats do for all."""

from orchestrator.scheduler.chores import Chores
from orchestrator.scheduler.wake import Wake

__all__ = ["Chores", "Wake"]
