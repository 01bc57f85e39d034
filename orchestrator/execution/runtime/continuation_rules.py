"""Decides which ready attempts a worker may run without a message of their own.

An attempt is not continued locally if any of these is true (DESIGN, Local continuation):

- Its task has a rate limit, a soft limit, or its own Request or Strategy class. Celery's main
  process enforces these, and does not see a task that comes without a message.
- Its hard limit differs from that of the message that the process is working on.
- Its task is expected to take longer than the remaining time for continuations.
- This worker does not serve its queue, or is stopping.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.app.task import Task as BaseTask

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.core.model import Attempt

#: Largest allowed delay of a step's hard limit, in seconds: a continued step is killed at the
#: limit of the runner's message, which is at most this much later than the step's own.
LIMIT_TOLERANCE = 2.0

#: Weight of the newest duration in a task's mean, as a share of 1.
_NEWEST_WEIGHT = 0.25


class TaskDurations:
    """The mean duration of each task in this process, exponentially weighted, in seconds.

    Threads share it without a lock: a race loses one update of a mean.
    """

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def observe(self, task: str, seconds: float) -> None:
        """Add the duration of one run to the task's mean."""
        mean = self._means.get(task)
        self._means[task] = seconds if mean is None else mean + _NEWEST_WEIGHT * (seconds - mean)

    def expected(self, task: str) -> float:
        """Return the task's mean in seconds; 0 before its first run, so that it may continue."""
        return self._means.get(task, 0.0)


class ContinuationRules:
    """The rules of one worker. `StepRunner` checks those that depend on the remaining time.

    `queues`: the queues that the worker serves. `enforces_limits`: its pool kills a process at a
    hard time limit.
    """

    def __init__(self, app: Celery, queues: frozenset[str], enforces_limits: bool) -> None:
        self._app = app
        self._queues = queues
        self._enforces_limits = enforces_limits
        self._suitable: dict[str, bool] = {}

    def allows(self, attempt: Attempt, remaining: float | None, queue: str) -> bool:
        """Return whether this worker may continue with the attempt, whose queue is `queue`.

        `remaining`: seconds until the hard limit of the runner's message; None without one."""
        if queue not in self._queues or not self._is_suitable(attempt.task):
            return False
        if not self._enforces_limits:
            return attempt.time_limit is None
        limit = self.limit_of(attempt)
        if remaining is None or limit is None:
            return remaining is limit
        # This process is killed after `remaining` seconds. Accept the attempt only if that is no
        # earlier than the attempt's own limit, and at most `LIMIT_TOLERANCE` seconds later.
        return limit <= remaining <= limit + LIMIT_TOLERANCE

    def limit_of(self, attempt: Attempt) -> float | None:
        """Return an attempt's hard time limit in seconds, its own or its task's; None without."""
        task = self._app.tasks.get(attempt.task)
        return attempt.time_limit or (task.time_limit if task else None) or None

    def _is_suitable(self, name: str) -> bool:
        suitable = self._suitable.get(name)
        if suitable is None:
            task = self._app.tasks.get(name)
            suitable = self._suitable[name] = task is not None and is_plain(task)
        return suitable


def is_plain(task: Any) -> bool:
    """Return whether Celery's main process enforces nothing for the task's messages."""
    return (
        not task.rate_limit
        and not task.soft_time_limit
        and task.Request == BaseTask.Request
        and task.Strategy == BaseTask.Strategy
    )
