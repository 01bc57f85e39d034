"""The engine of a test: the store with an index of what is ready, events that find their listeners,
and ends of attempts that come at a time of the virtual clock.
"""

from __future__ import annotations

import atexit
import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from orchestrator.core import Bounds
from orchestrator.core.model import (
    OPEN_STATUSES,
    Attempt,
    AttemptEnd,
    AttemptState,
    Compensation,
    Json,
    Stimulus,
    StimulusKind,
    Transition,
)
from orchestrator.document.model import Workflow
from orchestrator.error_handler.loss_reasons import exit_text
from orchestrator.error_handler.task_errors import runtime_error
from orchestrator.expressions import Evaluator
from orchestrator.testing.coverage import WorkflowCoverage
from orchestrator.testing.errors import UnknownWorkflow, did_you_mean
from orchestrator.testing.event_matching import EventMatching
from orchestrator.testing.in_memory_rows import Rows
from orchestrator.testing.instance_store import InstanceStore

#: One for the process: its sandbox starts with the first expression that needs jq.
EVALUATOR = Evaluator()
atexit.register(EVALUATOR.close)

#: How the main process of a worker reports a process that was killed.
_KILLED = runtime_error("WorkerLostError", exit_text(-9))


class Engine(InstanceStore):
    """All instances of a test, without workers."""

    def __init__(
        self,
        secrets: dict[str, Json],
        limits: Bounds | None,
        now: datetime,
        coverage: WorkflowCoverage | None = None,
    ) -> None:
        super().__init__(evaluate=EVALUATOR.evaluate, limits=limits, secrets=secrets)
        self.now = now
        self.coverage = coverage
        self.matching = EventMatching(self)
        self._with_inbox: dict[str, None] = {}
        self._active: dict[str, Rows] = {}
        self._timed: dict[str, Rows] = {}
        self._owners: dict[str, Rows] = {}
        self._later: list[tuple[datetime, int, Callable[[], None]]] = []

    def deploy_workflow(self, workflow: Workflow) -> str:
        """Deploy a workflow that was compiled before, and return its id."""
        id = super().deploy_workflow(workflow)
        if self.coverage is not None:
            self.coverage.add(id, workflow)
        return id

    # -- stimuli and transitions ---------------------------------------------------------------

    def send_stimulus(
        self,
        id: str,
        kind: StimulusKind,
        step: int | None = None,
        data: Json = None,
        *,
        run: bool = True,
    ) -> None:
        """Put a stimulus into an instance's inbox."""
        self._with_inbox[id] = None
        super().send_stimulus(id, kind, step, data, run=run)

    def with_inbox(self) -> list[str]:
        """Return the instances whose inboxes are not empty, in the order of their first note."""
        for id in [id for id in self._with_inbox if not self.rows[id].inbox]:
            del self._with_inbox[id]
        return list(self._with_inbox)

    def on_transition(self, rows: Rows, change: Transition) -> None:
        """Save a transition, keep the index, and tell the observers."""
        super().on_transition(rows, change)
        for attempt in change.attempts:
            self._owners[attempt.id] = rows
            self._active[rows.instance.id] = rows
        if change.timers:
            self._timed[rows.instance.id] = rows
        if change.emitted or change.listeners or change.returned:
            self.matching.on_transition(rows, change)
        if self.coverage is not None:
            self.coverage.observe(self, rows, change)

    def on_ignored(self, rows: Rows, stimulus: Stimulus) -> None:
        """An event that an instance did not consume is free for its other listeners."""
        super().on_ignored(rows, stimulus)
        if stimulus.kind is StimulusKind.EVENT:
            self.matching.on_refused(rows.instance.id, stimulus.step, stimulus.data.get("number"))

    def need(self, rows: Rows, what: str, *args: Any) -> Any:
        """Answer a need of the core; a missing workflow is the test's mistake."""
        answer = super().need(rows, what, *args)
        if what == "workflow" and answer is None:
            namespace, name, version = args
            guess = did_you_mean(f"{namespace}/{name}/{version}", self.workflows)
            raise UnknownWorkflow(
                f"{rows.workflow.namespace}/{rows.workflow.name} runs the workflow"
                f" {namespace}/{name} {version}, which was not added{guess or '.'}"
                " Add its document first: workflows.add('FILE')"
            )
        return answer

    def settle(self) -> None:
        """Apply all stimuli and match all events, until nothing is left to do."""
        self.drain()
        while self.matching.match():
            self.drain()

    # -- attempts ------------------------------------------------------------------------------

    def of(self, attempt: Attempt) -> Rows:
        """Return the rows of an attempt's instance."""
        return self._owners[attempt.id]

    def ready_attempts(self) -> list[Attempt]:
        """Return what a worker may claim, that of the oldest instances and steps first."""
        found: list[Attempt] = []
        for id, rows in list(self._active.items()):
            live = [one for one in rows.attempts.values() if one.state is AttemptState.READY]
            found += sorted(live, key=lambda one: (one.step, one.number))
            if not live and not self.is_running(rows):
                del self._active[id]
        return found

    def abandon(self, rows: Rows) -> None:
        """Let nothing more happen to an instance: its test is wrong."""
        rows.inbox.clear()
        rows.timers.clear()
        rows.listeners.clear()
        self.paused.add(rows.instance.id)
        self._active.pop(rows.instance.id, None)

    @staticmethod
    def is_running(rows: Rows) -> bool:
        """Whether an instance goes on, or its compensation does."""
        instance = rows.instance
        return instance.status in OPEN_STATUSES or instance.compensation is Compensation.RUNNING

    def end(self, attempt: Attempt, end: AttemptEnd, *, run: bool = True) -> None:
        """Report the end of an attempt."""
        self._with_inbox[self.of(attempt).instance.id] = None
        super().end(attempt, end, run=run)

    def lose(self, attempt: Attempt) -> None:
        """The worker's process dies with the attempt."""
        self.end(
            attempt,
            AttemptEnd(attempt.id, AttemptState.LOST, error=_KILLED, outcome_unknown=True),
            run=False,
        )

    # -- the clock -----------------------------------------------------------------------------

    def later(self, after: timedelta, do: Callable[[], None]) -> None:
        """Do something after a time of the virtual clock."""
        heapq.heappush(self._later, (self.now + after, self.made_number(), do))

    def made_number(self) -> int:
        """Return a number that grows."""
        self.seed += 1
        return self.seed

    def next_due(self) -> datetime | None:
        """Return when something happens by itself next; None if nothing does."""
        for id in [id for id, rows in self._timed.items() if not rows.timers]:
            del self._timed[id]
        due = [due for rows in self._timed.values() for due in rows.timers.values()]
        if self._later:
            due.append(self._later[0][0])
        return min(due, default=None)

    def fire(self) -> None:
        """Move the clock to what happens next, and let that happen."""
        due = self.next_due()
        if due is None:
            raise AssertionError("nothing is due")
        self.now = max(self.now, due)
        while self._later and self._later[0][0] <= self.now:
            heapq.heappop(self._later)[2]()
        self.fire_timers()
        self.settle()
