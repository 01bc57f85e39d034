"""What every part of the State Manager works with."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.database.connection.database_clock import DatabaseClock
from orchestrator.metrics import Meter
from orchestrator.state_manager.store_protocol import Store
from orchestrator.state_manager.transition_runner import TransitionRunner
from orchestrator.state_manager.workflow_cache import WorkflowCache
from orchestrator.task_dispatcher import TaskDispatcher


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The components of one State Manager. `seed` returns the random seed of a stimulus; `lease` is
    the duration of a lease on an instance's decisions, in seconds."""

    store: Store
    dispatcher: TaskDispatcher
    workflows: WorkflowCache
    time: DatabaseClock
    runner: TransitionRunner
    seed: Callable[[], int] = lambda: secrets.randbits(63)
    meter: Meter = field(default_factory=Meter)
    lease: float = 10.0
