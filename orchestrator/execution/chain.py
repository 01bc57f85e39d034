"""One message's work: the step that it names, then those that it may continue with.

Each step goes through Celery's own tracer, one after the other, outside the predecessor's
body and signals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]

from orchestrator.clock import monotonic
from orchestrator.core.values import Attempt, AttemptState, Ended
from orchestrator.database import attempts
from orchestrator.error_handler import error_of, runtime_error
from orchestrator.errors import DatabaseUnavailable, WorkflowError
from orchestrator.execution import events, replacement, requests, tracing
from orchestrator.execution.arguments import (
    Arguments,
    arguments_of,
    context_of,
    plain_arguments,
)
from orchestrator.execution.context import in_hand
from orchestrator.execution.hold import Hold
from orchestrator.execution.patience import persist
from orchestrator.execution.results import failed, harmless, ignored
from orchestrator.execution.soft_limit import SoftLimit
from orchestrator.log import get_logger
from orchestrator.metrics import catalog as metrics
from orchestrator.state_manager import Take, Work

if TYPE_CHECKING:
    from celery import Task

    from orchestrator.execution.execution import Execution

log = get_logger(__name__)


class Chain:
    """The steps that one message leads to, in one process or thread.

    `limit` is the hard time limit that runs for the whole chain; `soft` the message's soft
    one, which allows no continuation.
    """

    def __init__(self, execution: Execution, limit: float | None, soft: SoftLimit) -> None:
        self._began = monotonic()
        self.execution = execution
        self.hand = execution.hand
        self.following: Work | None = None
        self._limit = limit
        self._soft = soft
        self._until: float | None = None
        self._budget = execution.settings.continuation_budget
        self._waiting: deque[Callable[[], None]] = deque()
        self._reserved: str | None = None

    # -- running -----------------------------------------------------------------------------

    def run(
        self, task: Task[Any, Any], work: Work, request: dict[str, Any], *, told: bool = True
    ) -> Any:
        """Run a claimed attempt; returns what Celery's tracer is to return. `told`: Celery's
        main process sends the worker events of it, if anybody wants them."""
        hold = Hold(self, work, task, self._soft)
        try:
            arguments = self._arguments(work)
        except WorkflowError as error:
            hold.end_unstarted(error_of(error)[0])
            return ignored("its arguments can't be evaluated")
        except Exception as error:
            log.exception("A step's arguments are none", action="arguments_failed")
            hold.end_unstarted(error_of(error)[0])
            return ignored("its arguments can't be made")
        hold.arguments = arguments
        hold.hide(arguments.secrets)
        requests.clean(request, work, arguments)
        if told or not self.execution.hands.events:
            return self._traced(hold, request)
        events.started(task, request)
        result = self._traced(hold, request)
        events.ended(task, request, result)
        return result

    def share(self, count: int) -> None:
        """The message brings so many instances: none may keep the others waiting for long."""
        if count > 1:
            self._budget /= 2 * count

    def then(self, *brings: Callable[[], None]) -> None:
        """What the message asks for besides, each with a budget of its own."""
        self._waiting.extend(brings)

    def go_on(self) -> None:
        """Run what was taken, and what that leads to, until nothing was; then what else the
        message asks for."""
        try:
            self._follow()
            while self._waiting:
                self._until = None
                self._waiting.popleft()()
                self._follow()
        except Exception:
            self.hand.release()  # not for an exit: the main process looks at what was in hand
            raise
        self.hand.release()

    def _follow(self) -> None:
        while self.following is not None:
            work, self.following = self.following, None
            self.hand.promote()
            self.hand.count("continued")
            self._continue_with(work)

    def _continue_with(self, work: Work) -> None:
        task = self.execution.app.tasks[work.attempt.task]
        queue = self.execution.queue_of(work.attempt)
        request = requests.fresh(
            work, self.execution.hostname, queue, self.execution.priority_of(work.attempt)
        )
        self.run(task, work, request, told=False)

    def _traced(self, hold: Hold, request: dict[str, Any]) -> Any:
        result = self._in_hand(hold, request)
        while hold.replacement is not None:
            replaced = hold
            hold = Hold(self, hold.work, replacement.task_of(hold), self._soft)
            hold.hide(replaced.secrets)
            request = replacement.request_of(replaced, request)
            if replacement.is_composite(replaced):
                return replacement.run_composite(hold, replaced)
            result = self._in_hand(hold, request)
        return result

    def _in_hand(self, hold: Hold, request: dict[str, Any]) -> Any:
        began = monotonic()
        mark = in_hand.set(hold)
        try:
            with tracing.span(hold.work, hold.task.name, request):
                return self._trace(hold, request)
        finally:
            in_hand.reset(mark)
            name, took = hold.task.name, monotonic() - began
            self.execution.durations.saw(name, took)
            self.execution.meter.observe(metrics.ATTEMPT_SECONDS, took, (name,))

    def _trace(self, hold: Hold, request: dict[str, Any]) -> Any:
        """Celery's tracer, with whatever escapes it turned into a failure: none of a step's
        errors may end the worker. Only an exit from the process does what it says."""
        tracer = self.execution.tracer_of(hold.task)
        try:
            result = tracer(hold.work.attempt.id, request["args"], request["kwargs"], request)
        except BaseException as error:
            hold.end_outside(error)
            if not isinstance(error, Exception) and self._exits(error):
                raise
            return failed(error)
        hold.end_outside(result.info.retval if result.info else result.retval)
        return harmless(result)

    def _exits(self, error: BaseException) -> bool:
        if terminate_handler_fired():
            return True
        return isinstance(error, SystemExit | KeyboardInterrupt) and self.execution.forks

    def _arguments(self, work: Work) -> Arguments:
        plain = plain_arguments(work)
        if plain is not None:
            return plain
        context = context_of(self.execution, work)
        return persist(lambda: arguments_of(work, context), "a step's arguments")

    # -- committing --------------------------------------------------------------------------

    def commit(self, work: Work, ended: Ended) -> None:
        """Commit how an attempt ended, however long the database needs for it."""
        take = self.take() if ended.state is not AttemptState.LOST else None
        try:
            self.following = self._finish(work, ended, take)
        except Exception:
            log.exception(
                "A result could not be saved", action="save_failed", attempt=work.attempt.id
            )
            self._commit_failure(work)
        if self.following is None:
            self.hand.drop_reserved()
        elif self.following.attempt.id != self._reserved:
            # A sibling is known by its id only now that it is taken.
            self.hand.reserve(self.following.attempt.id)

    def _finish(self, work: Work, ended: Ended, take: Take | None) -> Work | None:
        state = self.execution.services.state
        return persist(lambda: state.finish(work, ended, take), "the end of a step")

    def _commit_failure(self, work: Work) -> None:
        """The second, minimal transition: the result itself is what can't be saved."""
        error = runtime_error("The result could not be saved", "see the worker's log")
        ended = Ended(work.attempt.id, AttemptState.FAILED, error=error, unknown=True)
        try:
            self._finish(work, ended, None)
        except Exception:
            self.hand.count("left")
            log.exception("An attempt is left to its lease", action="left", attempt=work.attempt.id)

    def show_progress(self, work: Work, json: str) -> bool:
        """Keep a task's word on its progress; whether anybody wants its result."""
        database = self.execution.services.database
        try:
            return attempts.progress(database, work.attempt.id, work.token, json)
        except DatabaseUnavailable:
            return True  # nothing says otherwise

    # -- continuing --------------------------------------------------------------------------

    def take(self) -> Take | None:
        """The offer to run one of the attempts that a transition makes ready, if there is one."""
        if not self._budget or self._soft.exists or self.execution.hands.stopping:
            return None
        return Take(self.execution.holder, self._accepts)

    def _until_killed(self) -> float | None:
        """Seconds until the message's hard limit ends this process; None: it has none. The
        main process has added the budget (see `signals`)."""
        if self._limit is None:
            return None
        allowed = self._limit + self.execution.settings.continuation_budget
        return self._began + allowed - monotonic()

    def _accepts(self, attempt: Attempt) -> bool:
        if self._until is None:
            self._until = monotonic() + self._budget
        left = self._until - monotonic()
        if left <= 0 or self.execution.durations.usual(attempt.task) > left:
            return False
        queue = self.execution.queue_of(attempt)
        if not self.execution.rules.allows(attempt, self._until_killed(), queue):
            return False
        self.hand.reserve(attempt.id)
        self._reserved = attempt.id
        return True
