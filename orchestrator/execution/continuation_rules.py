"""Which attempts a worker may run at once after the transition that made them ready.

Not those whose task has a rate limit, a soft limit, or a Request or Strategy of its own
(Celery's main process enforces these, and would not see the task), nor those of another hard
limit than the one that goes on ticking for the message; not tasks that usually take longer
than what is left of the chain's budget; nothing of a queue that this worker does not serve;
and nothing while the worker is being stopped (DESIGN, Local continuation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.app.task import Task as BaseTask

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.core.model import Attempt

#: How much later than a step's own its message's hard limit may end it, in seconds.
LIMIT_TOLERANCE = 2.0

#: How much the newest duration of a task weighs in what is usual for it.
_WEIGHT = 0.25


class TaskDurations:
    """How long each task usually takes in this process: an exponentially weighted mean.

    Threads share it without a lock: a lost update of a mean is no harm.
    """

    def __init__(self) -> None:
        self._usual: dict[str, float] = {}

    def observe(self, task: str, seconds: float) -> None:
        """A run of the task took this long."""
        usual = self._usual.get(task)
        self._usual[task] = seconds if usual is None else usual + _WEIGHT * (seconds - usual)

    def expected(self, task: str) -> float:
        """What to expect; a task never seen is expected to be short, for its first time."""
        return self._usual.get(task, 0.0)


class ContinuationRules:
    """The rules of one worker, apart from those that depend on the chain."""

    def __init__(self, app: Celery, queues: frozenset[str], enforces_limits: bool) -> None:
        self._app = app
        self._queues = queues
        self._enforces_limits = enforces_limits
        self._suitable: dict[str, bool] = {}

    def allows(self, attempt: Attempt, left: float | None, queue: str) -> bool:
        """Whether this worker may run the attempt at once, in a process that its message's hard
        limit will end in `left` seconds (None: never)."""
        if queue not in self._queues or not self._is_suitable(attempt.task):
            return False
        if not self._enforces_limits:
            return attempt.time_limit is None
        limit = self.limit_of(attempt)
        if left is None or limit is None:
            return left is limit
        # Not ended before its time, nor much later.
        return limit <= left <= limit + LIMIT_TOLERANCE

    def limit_of(self, attempt: Attempt) -> float | None:
        """The hard time limit of an attempt: its own, or its task's."""
        task = self._app.tasks.get(attempt.task)
        return attempt.time_limit or (task.time_limit if task else None) or None

    def _is_suitable(self, name: str) -> bool:
        known = self._suitable.get(name)
        if known is None:
            task = self._app.tasks.get(name)
            known = self._suitable[name] = task is not None and is_plain(task)
        return known


def is_plain(task: Any) -> bool:
    """Whether Celery's main process does nothing of its own for the task's messages."""
    return (
        not task.rate_limit
        and not task.soft_time_limit
        and task.Request == BaseTask.Request
        and task.Strategy == BaseTask.Strategy
    )
