"""The worker of a test: runs attempts in this process, through Celery's own tracer, as a worker of
the product does (`orchestrator.execution.step.attempt_runner`).

A stub takes the place of a task's body. All around it stays: the arguments are checked against the
task's signature, `autoretry_for` applies, `Reject`, `Ignore` and `Retry` mean what they mean there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.app.trace import build_tracer

from orchestrator.calls import perform
from orchestrator.core.model import Attempt, AttemptEnd, AttemptState, Slice
from orchestrator.execution.celery_hooks.task_mixin import add_call_hook
from orchestrator.execution.installation import install
from orchestrator.execution.step import celery_request, replacement_workflow
from orchestrator.execution.step.attempt_runner import AttemptRunner
from orchestrator.execution.step.running_attempt import RunningAttempt
from orchestrator.execution.step.soft_time_limit import SoftLimit
from orchestrator.execution.step.task_arguments import (
    Arguments,
    arguments_of,
    call_context_of,
    constant_arguments,
)
from orchestrator.message_names import CALL
from orchestrator.state_manager.claimed_attempt import (
    ClaimedAttempt,
    LeaseOwner,
    claimed_attempt,
)
from orchestrator.testing import stubs
from orchestrator.testing.deaths import Deaths
from orchestrator.testing.effects import Effect, Ledger
from orchestrator.testing.errors import TestingError
from orchestrator.testing.in_memory_rows import chain
from orchestrator.testing.stubbed_tasks import run_stub, stub_app, stub_task
from orchestrator.testing.stubs import Stub, Takes, WorkerLost
from orchestrator.testing.unknown_tasks import PROCESSES, unknown_process, unknown_task

if TYPE_CHECKING:
    from celery import Task

    from orchestrator.calls import CallContext
    from orchestrator.canvas.document import Converted
    from orchestrator.execution.internal_protocols import Tracer
    from orchestrator.testing.engine import Engine
    from orchestrator.testing.http_stubs import HttpStubs

_OWNER = LeaseOwner("00000000-0000-7000-8000-000000000000", 0)
_HOSTNAME = "test@localhost"
_NO_LIMIT = SoftLimit(exists=False)

#: Tracers by the task that they were built for.
_tracers: dict[int, tuple[Any, Tracer]] = {}


class Worker(AttemptRunner):
    """Runs the attempts of one test's instances."""

    def __init__(
        self,
        engine: Engine,
        app: Celery | None,
        tasks: Mapping[str, Stub],
        http: HttpStubs,
        deploy: Callable[[Converted], str],
    ) -> None:
        super().__init__(_NO_LIMIT)
        self.engine = engine
        self.app = app
        self.stubs = dict(tasks)
        self.http = http
        self.deaths: Deaths = Deaths()
        self.ledger = Ledger()
        #: In a forked process: tells the parent of an effect or an end.
        self.tell: Callable[[str, Any], None] | None = None
        #: Every call of a task: its name, its positional and its keyword arguments.
        self.calls: list[tuple[str, list[Any], dict[str, Any]]] = []
        self._deploy = deploy
        self._stub_app = stub_app()
        #: A mistake of the test, met by the attempt that runs.
        self.mistake: TestingError | None = None
        self._is_dead = False
        self._effects = 0
        self._stub_of_attempt: Stub = None
        self._has_stub = False
        if app is not None:
            install(app)

    # -- one attempt ---------------------------------------------------------------------------

    def work(self, attempt: Attempt) -> None:
        """Claim an attempt and run it to its end.

        Raises:
            UnknownTask: nothing here can run its task.
            TestingError: the task met a mistake of the test.
        """
        task = self._task_of(attempt)
        stub = stubs.chosen(self.stubs.get(attempt.task))
        claimed = self._claim(attempt)
        if isinstance(stub, Takes):
            inner = stub.stub
            self.engine.later(stub.duration, lambda: self._run(task, claimed, inner, True))
        else:
            self._run(task, claimed, stub, attempt.task in self.stubs)

    def _claim(self, attempt: Attempt) -> ClaimedAttempt:
        rows = self.engine.of(attempt)
        attempt = self.engine.claim(attempt)
        slice = Slice(rows.instance, chain(rows, attempt.step), attempt)
        return claimed_attempt(
            rows.workflow, slice, attempt, _OWNER, "test.0", len(rows.inbox), self.engine.now
        )

    def _run(
        self, task: Task[Any, Any], claimed: ClaimedAttempt, stub: Stub, has_stub: bool
    ) -> None:
        self.mistake, self._is_dead, self._effects = None, False, 0
        self._stub_of_attempt, self._has_stub = stub, has_stub
        attempt = claimed.attempt
        if not self.deaths.run_apart(self, task, claimed):
            self.run_here(task, claimed)
        if self.mistake is not None:
            raise self.mistake
        if self._is_dead:
            self.engine.lose(attempt)
        self.engine.settle()

    def run_here(self, task: Task[Any, Any], claimed: ClaimedAttempt) -> None:
        """Run a claimed attempt in this process."""
        request = celery_request.continuation_request(
            claimed, _HOSTNAME, claimed.attempt.queue or "celery", claimed.attempt.priority
        )
        self.run(task, claimed, request)

    def _task_of(self, attempt: Attempt) -> Task[Any, Any]:
        name = attempt.task
        if name == CALL:
            return self._stub_app.tasks[CALL]
        if self.app is not None and name in self.app.tasks:
            task = self.app.tasks[name]
            add_call_hook(type(task))
            return task
        if name not in self.stubs:
            raise unknown_task(name, self.engine.of(attempt), attempt, self.app, self.stubs)
        return stub_task(self._stub_app, name)

    def die(self) -> None:
        """End the attempt as if its process were killed: nothing of it counts from here on."""
        self._is_dead = True
        raise WorkerLost("the worker dies here")

    def lose_process(self) -> None:
        """The process that ran the attempt is gone."""
        self._is_dead = True

    @property
    def is_dead(self) -> bool:
        """Whether the process that runs the present attempt is dead."""
        return self._is_dead

    # -- effects -------------------------------------------------------------------------------

    def effect(
        self, claimed: ClaimedAttempt, name: str, details: Mapping[str, Any], **more: Any
    ) -> Effect:
        """Record an effect of the attempt that runs; its process may die after it."""
        if self._is_dead:
            raise WorkerLost("the worker is dead")
        one = self.ledger.record(name, details, claimed, **more)
        if self.tell is not None:
            self.tell("effect", one)
        self._count_effect(claimed)
        return one

    def take_effect(self, one: Effect) -> None:
        """Record an effect of an attempt that ran in a forked process."""
        self.ledger.add(one)
        self._effects += 1
        self.deaths.count_effect(self._effects)

    def _count_effect(self, claimed: ClaimedAttempt) -> None:
        self._effects += 1
        self.deaths.count_effect(self._effects)
        self.deaths.after_effect(self, claimed, self._effects)

    # -- what `AttemptRunner` asks -------------------------------------------------------------

    @property
    def max_payload(self) -> int:
        """The largest output of a task, in bytes of JSON."""
        return self.engine.limits.payload

    def commit(self, claimed: ClaimedAttempt, ended: AttemptEnd) -> None:
        """Commit an attempt's end, unless its process is dead or the test is wrong."""
        if self._is_dead or self.mistake is not None:
            return
        self.deaths.before_commit(self, claimed)
        self.record(claimed, ended)

    def record(self, claimed: ClaimedAttempt, ended: AttemptEnd) -> None:
        """Give the engine an attempt's end."""
        if self.tell is not None:
            self.tell("end", ended)
        elif ended.state is AttemptState.LOST:
            self._is_dead = True
        else:
            self.engine.end(claimed.attempt, ended, run=False)

    def show_progress(self, claimed: ClaimedAttempt, json: str) -> bool:
        """Return whether the attempt is still current; its progress is not kept."""
        del json
        attempts = self.engine.of(claimed.attempt).attempts
        now = attempts.get(claimed.attempt.id)
        return now is not None and now.state is AttemptState.CLAIMED and not now.withdrawn

    def _arguments(self, claimed: ClaimedAttempt) -> Arguments:
        constant = constant_arguments(claimed)
        found = constant or arguments_of(claimed, self._context(claimed))
        if claimed.attempt.task != CALL:
            self.calls.append((claimed.attempt.task, list(found.args), dict(found.kwargs)))
        return found

    def _context(self, claimed: ClaimedAttempt) -> CallContext:
        return call_context_of(
            claimed,
            self.http,
            self.engine.evaluate,
            self.engine.secrets.get,
        )

    def _new_attempt(self, claimed: ClaimedAttempt, task: Task[Any, Any]) -> RunningAttempt:
        return _TestedAttempt(self, claimed, task, _NO_LIMIT)

    def body_of(self, running: RunningAttempt, body: Callable[[], Any]) -> Callable[[], Any]:
        """Return what runs in place of a task's body."""
        arguments = running.arguments
        if running.claimed.attempt.task == CALL:
            return self._call_of(running)
        # Run the task's own body if the test has no stub for the task. A task that replaces another
        # one has neither a stub nor arguments here.
        if not self._has_stub or arguments is None:
            return body
        return lambda: run_stub(running.task, self._stub_of_attempt, arguments)

    def _call_of(self, running: RunningAttempt) -> Callable[[], Any]:
        """Return what performs a call that is no Celery task: over HTTP against the stubs. Commands
        and scripts do not run in tests."""
        call, context = running.claimed.call, self._context(running.claimed)
        name = f"run.{call.get('kind')}"
        if name in PROCESSES:
            if name not in self.stubs:
                raise unknown_process(name, running.claimed)
            stub = stubs.chosen(self.stubs[name])
            given = {**(call.get("constant") or {}), **(call.get("with") or {})}
            return lambda: stubs.answer(stub, (), given)
        running.mask_secrets(context.secrets)
        return lambda: perform(call, context)

    def run_body(self, running: RunningAttempt, body: Callable[[], Any]) -> Any:
        """Run a body, and keep apart what is a mistake of the test or the death of its process."""
        try:
            self.deaths.before_body(self, running.claimed)
            return self.body_of(running, body)()
        except TestingError as mistake:
            self.mistake = mistake
            raise
        except WorkerLost:
            self._is_dead = True
            raise

    def _tracer_of(self, task: Task[Any, Any]) -> Tracer:
        known = _tracers.get(id(task))
        if known is None or known[0] is not task:
            app = task.app
            known = task, build_tracer(task.name, task, app.loader, _HOSTNAME, app=app)
            _tracers[id(task)] = known
        return known[1]

    def _end_of_replacement(self, replaced: RunningAttempt) -> AttemptEnd | None:
        return replacement_workflow.end_of(replaced, self._deploy, self.max_payload)

    def _is_exit(self, error: BaseException) -> bool:
        return isinstance(error, KeyboardInterrupt)


class _TestedAttempt(RunningAttempt):
    """An attempt whose body a stub may replace."""

    def __init__(self, worker: Worker, *rest: Any) -> None:
        super().__init__(worker, *rest)
        self.worker = worker

    def run_body(self, body: Callable[[], Any]) -> Any:
        """Run the task's body, or what stands in for it."""
        return super().run_body(lambda: self.worker.run_body(self, body))
