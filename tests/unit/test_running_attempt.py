"""Celery's tracer around a step: which end is committed, and what Celery sees.

A recorder replaces the State Manager, so these tests check which calls it gets. Tests on real
servers are in tests/integration/test_execution_*.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, Task, signals
from celery.app import trace
from celery.exceptions import Ignore, Reject, Retry

from orchestrator import WorkflowError, current_step, install
from orchestrator.celery_versions import CELERY
from orchestrator.core.model import Attempt, AttemptEnd, AttemptState, Step
from orchestrator.errors import ConfigurationError, DatabaseUnavailable
from orchestrator.execution.installation import runtime_of
from orchestrator.execution.process import outage_retry
from orchestrator.execution.step import replacement_workflow
from orchestrator.ids import new_id
from orchestrator.message_names import HEADER
from orchestrator.settings import Settings
from orchestrator.state_manager import ClaimedAttempt, ContinuationOffer, LeaseOwner

INSTANCE = new_id()


class Recorder:
    """Answers like the State Manager and records the committed ends."""

    def __init__(self) -> None:
        self.works: dict[str, ClaimedAttempt] = {}
        self.ends: list[AttemptEnd] = []
        self.following: list[ClaimedAttempt] = []
        self.outages = 0

    def add(self, task: str, *args: Any, retries: int = 0, **kwargs: Any) -> ClaimedAttempt:
        call = {"kind": "celery", "task": task, "args": list(args), "kwargs": kwargs}
        work = ClaimedAttempt(
            attempt=Attempt(new_id(), 1, 1, task, queue="celery"),
            instance_id=INSTANCE,
            namespace="test",
            business_id="o-1",
            step=Step(1, 0, "/do/0/a", "call", call=call),
            call=call,
            key="key",
            retries=retries,
            deadline=None,
            workflow=SimpleNamespace(use={}, metadata={}),  # type: ignore[arg-type]
            slice=None,  # type: ignore[arg-type]
            inbox=0,
            token="t.0",
            owner=LeaseOwner(new_id(), 1),
        )
        self.works[work.attempt.id] = work
        return work

    def follow_with(self, task: str, *args: Any, **kwargs: Any) -> None:
        """Add a step that the next committed end makes ready."""
        self.following.append(self.add(task, *args, **kwargs))

    def claim_attempt(
        self, attempt: str, instance: str, task: str, *_: Any
    ) -> ClaimedAttempt | None:
        self._outage()
        work = self.works.pop(attempt, None)
        return work if work and work.attempt.task == task and instance == INSTANCE else None

    def commit_result(
        self, work: ClaimedAttempt, ended: AttemptEnd, take: ContinuationOffer | None = None
    ) -> ClaimedAttempt | None:
        self._outage()
        self.ends.append(ended)
        if self.following and take and take.accepts(self.following[0].attempt):
            return self.following.pop(0)
        return None

    def _outage(self) -> None:
        if self.outages:
            self.outages -= 1
            raise DatabaseUnavailable

    @property
    def end(self) -> AttemptEnd:
        """The only end."""
        (ended,) = self.ends
        return ended


class Bench:
    """An app in the state that it has in a worker's process."""

    def __init__(self, app: Celery, state: Recorder) -> None:
        self.app, self.state = app, state

    def run(self, task: str, *args: Any, headers: Any = None, **kwargs: Any) -> Any:
        """Deliver a step's message and return the tracer's result."""
        work = self.state.add(task, *args, **kwargs)
        return self.deliver(work, headers)

    def deliver(self, work: ClaimedAttempt, headers: Any = None, **request: Any) -> Any:
        """Deliver the message of a claimable attempt and return the tracer's result."""
        header = {"instance": work.instance_id, "step": 1, "v": 1}
        message = {
            "id": work.attempt.id,
            "task": work.attempt.task,
            "args": [],
            "kwargs": {},
            "is_eager": False,
            "hostname": "w@h",
            "delivery_info": {"redelivered": True},
            HEADER: header if headers is None else headers,
            **request,
        }
        return self.app.tasks[work.attempt.task].__trace__(work.attempt.id, [], {}, message)


class App(Celery):
    """An app whose tasks are not shared: by default Celery adds an app's tasks to all apps."""

    def task(self, *args: Any, **options: Any) -> Any:
        return super().task(*args, **{"shared": False, **options})


@pytest.fixture
def app() -> Iterator[Celery]:
    app = App("seam", broker="memory://", backend="cache+memory://", set_as_current=False)
    yield app
    app.close()


@pytest.fixture
def bench(app: Celery, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """An app for the test's own tasks: the test defines them, then calls `bench.run`."""
    monkeypatch.setattr(outage_retry, "FIRST_DELAY", 0.001)
    install(app, Settings(max_payload=10_000))
    state = Recorder()
    bench = Bench(app, state)
    yield bench
    trace.reset_worker_optimizations(app)


def ready(bench: Bench, forks: bool = False) -> Bench:
    """Start the worker like Celery: prepare the app, then build each task's tracer."""
    execution = runtime_of(bench.app)
    assert execution is not None
    trace.setup_worker_optimizations(bench.app, "w@h")
    execution.become_worker("w@h", 1, "prefork" if forks else "threads")
    execution._services = SimpleNamespace(  # type: ignore[assignment]
        state=bench.state,
        evaluator=SimpleNamespace(evaluate=lambda program, *_: f"evaluated {program}"),
        database=None,
        dispatcher=SimpleNamespace(queue_of=lambda _: "celery"),
        close=lambda: None,
    )
    for name, task in bench.app.tasks.items():
        task.__trace__ = trace.build_tracer(name, task, bench.app.loader, "w@h", app=bench.app)
    return bench


def test_value_is_committed_and_celery_sees_it(bench: Bench) -> None:
    @bench.app.task(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    result = ready(bench).run("add", 1, b=2)
    assert bench.state.end.state is AttemptState.SUCCEEDED
    assert bench.state.end.output == 3
    assert (result.retval, result.info) == (3, None)


def test_outside_a_workflow_nothing_is_committed(bench: Bench) -> None:
    @bench.app.task(name="add")
    def add(a: int, b: int) -> Any:
        return a + b, current_step()

    ready(bench)
    result = add.__trace__(new_id(), [1, 2], {}, {"id": "x"})
    assert result.retval == (3, None)
    assert add.apply((1, 2)).get(disable_sync_subtasks=False) == (3, None)
    assert add(1, 2) == (3, None)
    assert bench.state.ends == []


def test_the_task_sees_its_real_arguments_everywhere(bench: Bench) -> None:
    seen: list[Any] = []

    class Base(Task):
        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            seen.append(("before_start", args, kwargs))

        def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
            seen.append(("on_success", args, kwargs))

    @bench.app.task(name="look", bind=True, base=Base)
    def look(self: Any, a: int, *, b: int) -> None:
        seen.append(("request", self.request.args, self.request.kwargs))
        seen.append(("headers", HEADER in (self.request.headers or {})))

    def prerun(task: Any, args: Any, kwargs: Any, **_: Any) -> None:
        seen.append(("prerun", args, kwargs))

    signals.task_prerun.connect(prerun)
    try:
        ready(bench).run("look", 1, b=2)
    finally:
        signals.task_prerun.disconnect(prerun)
    real = ([1], {"b": 2})
    assert seen == [
        ("prerun", *real),
        ("before_start", *real),
        ("request", *real),
        ("headers", False),
        ("on_success", *real),
    ]


def test_the_end_is_committed_before_celery_learns_of_it(bench: Bench) -> None:
    heard: list[int] = []

    @bench.app.task(name="add")
    def add() -> int:
        return 1

    def success(**_: Any) -> None:
        heard.append(len(bench.state.ends))

    signals.task_success.connect(success)
    try:
        ready(bench).run("add")
    finally:
        signals.task_success.disconnect(success)
    assert heard == [1]


def test_current_step(bench: Bench) -> None:
    found: list[Any] = []

    @bench.app.task(name="who")
    def who() -> None:
        found.append(current_step())

    ready(bench).run("who")
    (step,) = found
    assert (step.instance, step.business_id, step.reference) == (INSTANCE, "o-1", "/do/0/a")
    assert (step.attempt, step.idempotency_key, step.deadline) == (1, "key", None)
    assert current_step() is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("no"), {"title": "ValueError", "detail": "no", "status": 500}),
        (WorkflowError("https://x.example/declined", 402, "Declined"), {"status": 402}),
        (MemoryError("much"), {"title": "MemoryError"}),
    ],
)
def test_exceptions_become_errors(bench: Bench, error: Exception, expected: dict[str, Any]) -> None:
    @bench.app.task(name="fail")
    def fail() -> None:
        raise error

    result = ready(bench).run("fail")
    end = bench.state.end
    assert end.state is AttemptState.FAILED
    assert end.error is not None
    assert end.error.items() >= expected.items()
    assert "raise error" in (end.traceback or "")
    assert "orchestrator/execution" not in (end.traceback or "")
    assert result.info.state == "FAILURE"
    assert not isinstance(result.info.retval, MemoryError)


def test_ignore_succeeds_without_output(bench: Bench) -> None:
    @bench.app.task(name="ignore")
    def ignore() -> None:
        raise Ignore

    result = ready(bench).run("ignore")
    assert (bench.state.end.state, bench.state.end.output) == (AttemptState.SUCCEEDED, None)
    assert result.info.state == "IGNORED"


@pytest.mark.parametrize(("requeue", "delay"), [(False, None), (True, 1.0)])
def test_reject_fails(bench: Bench, requeue: bool, delay: float | None) -> None:
    @bench.app.task(name="reject")
    def reject() -> None:
        raise Reject("why", requeue=requeue)

    ready(bench).run("reject")
    assert bench.state.end.state is AttemptState.FAILED
    assert bench.state.end.retry_in == delay
    assert bench.state.end.error == {
        "type": "https://serverlessworkflow.io/spec/1.0.0/errors/runtime",
        "status": 500,
        "title": "Reject",
        "detail": "why",
    }


def test_a_base_exception_fails_and_does_not_escape(bench: Bench) -> None:
    class Odd(BaseException):
        pass

    @bench.app.task(name="odd")
    def odd() -> None:
        raise Odd("odd")

    result = ready(bench).run("odd")
    assert bench.state.end.state is AttemptState.FAILED
    assert result.info.state == "FAILURE"


@pytest.mark.parametrize("forks", [True, False], ids=["prefork", "threads"])
def test_an_exit_is_a_lost_attempt(bench: Bench, forks: bool) -> None:
    @bench.app.task(name="leave")
    def leave() -> None:
        raise SystemExit(3)

    ready(bench, forks)
    if forks:
        with pytest.raises(SystemExit):
            bench.run("leave")
    else:
        bench.run("leave")
    assert (bench.state.end.state, bench.state.end.outcome_unknown) == (AttemptState.LOST, True)


@pytest.mark.parametrize(
    "value", [object(), float("nan"), "x" * 20_000, {1, 2}], ids=["object", "nan", "large", "set"]
)
def test_output_that_cannot_pass_is_a_data_error(bench: Bench, value: Any) -> None:
    @bench.app.task(name="odd")
    def odd() -> Any:
        return value

    ready(bench).run("odd")
    end = bench.state.end
    assert (end.state, end.outcome_unknown, end.output) == (AttemptState.FAILED, True, None)
    assert end.error is not None
    assert end.error["type"].endswith("/validation")


# -- retries ---------------------------------------------------------------------------------


def _retrying(bench: Bench, **options: Any) -> Any:
    @bench.app.task(name="again", bind=True, default_retry_delay=7, **options)
    def again(self: Any, **how: Any) -> Any:
        raise self.retry(exc=ValueError("not yet"), **how)

    def publish(*_: Any, **__: Any) -> None:
        raise AssertionError("a message was published")

    setattr(bench.app, "send_task", publish)  # noqa: B010  mypy knows its signature
    return again


def test_self_retry_is_no_message(bench: Bench) -> None:
    _retrying(bench)
    result = ready(bench).run("again")
    assert (bench.state.end.state, bench.state.end.retry_in) == (AttemptState.FAILED, 7.0)
    assert bench.state.end.error is not None
    assert bench.state.end.error["title"] == "ValueError"
    assert result.info.state == "RETRY"


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ({}, None),
        ({"kwargs": {"a": 1}}, None),
        ({"kwargs": {"a": 2}}, {"args": [], "kwargs": {"a": 2}}),
        ({"args": [3], "kwargs": {}}, {"args": [3], "kwargs": {}}),
    ],
)
def test_a_retry_with_other_arguments(bench: Bench, asked: Any, stored: Any) -> None:
    @bench.app.task(name="other", bind=True)
    def other(self: Any, a: Any) -> Any:
        raise self.retry(countdown=1, **asked)

    ready(bench).run("other", a=1)
    assert (bench.state.end.retry_in, bench.state.end.arguments) == (1.0, stored)


def test_a_retry_whose_positions_are_parameters_given_by_name(bench: Bench) -> None:
    """Celery replaces them since 5.7. Before, it refused to send such a message."""

    @bench.app.task(name="other", bind=True)
    def other(self: Any, a: Any) -> Any:
        raise self.retry(countdown=1, args=(Decimal("1.5"),))

    ready(bench).run("other", a=1)
    end = bench.state.end
    if CELERY >= (5, 7):
        assert (end.retry_in, end.arguments) == (1.0, {"args": ["1.5"], "kwargs": {}})
        return
    assert (end.retry_in, end.error and end.error["title"]) == (None, "Reject")


def test_a_retry_with_arguments_that_the_task_does_not_take(bench: Bench) -> None:
    """As in Celery, which refuses to send the message."""

    @bench.app.task(name="other", bind=True)
    def other(self: Any, a: Any) -> Any:
        raise self.retry(args=(), kwargs={"b": 1})

    ready(bench).run("other", a=1)
    end = bench.state.end
    assert end.error is not None
    assert (end.retry_in, end.error["title"]) == (None, "Reject")
    assert "unexpected keyword argument 'b'" in end.error["detail"]


def test_a_retry_with_arguments_that_are_no_json(bench: Bench) -> None:
    @bench.app.task(name="other", bind=True)
    def other(self: Any, *_: Any) -> Any:
        raise self.retry(args=[object()])

    ready(bench).run("other")
    end = bench.state.end
    assert (end.state, end.retry_in, end.outcome_unknown) == (AttemptState.FAILED, None, True)
    assert end.error is not None
    assert "the arguments of self.retry()" in end.error["detail"]


def test_retries_are_counted_by_the_step(bench: Bench) -> None:
    _retrying(bench, max_retries=2)
    ready(bench)
    for retries in range(3):
        bench.deliver(bench.state.add("again", retries=retries, countdown=1))
    assert [end.retry_in for end in bench.state.ends] == [1.0, 1.0, None]


def test_autoretry(bench: Bench) -> None:
    @bench.app.task(name="auto", autoretry_for=(KeyError,), retry_kwargs={"countdown": 3})
    def auto() -> None:
        raise KeyError("x")

    ready(bench).run("auto")
    assert bench.state.end.retry_in == 3.0


def test_a_retry_without_raising_counts_whatever_the_task_returns(bench: Bench) -> None:
    @bench.app.task(name="quiet", bind=True)
    def quiet(self: Any) -> int:
        self.retry(countdown=5, throw=False)
        return 1

    ready(bench).run("quiet")
    assert (bench.state.end.retry_in, bench.state.end.output) == (5.0, None)


def test_a_bare_retry_is_bounded_too(bench: Bench) -> None:
    @bench.app.task(name="bare", max_retries=1)
    def bare() -> None:
        raise Retry(when=2)  # type: ignore[arg-type]

    ready(bench)
    for retries in range(2):
        bench.deliver(bench.state.add("bare", retries=retries))
    assert [end.retry_in for end in bench.state.ends] == [2.0, None]


# -- replacement -------------------------------------------------------------------------------


def test_a_replacement_runs_in_the_steps_place(bench: Bench) -> None:
    @bench.app.task(name="other", bind=True)
    def other(self: Any, a: int) -> Any:
        return a, self.request.id, self.request.replaced_task_nesting

    @bench.app.task(name="replace", bind=True)
    def replacing(self: Any, a: int) -> Any:
        return self.replace(other.s(a * 10))

    work = bench.state.add("replace", 4)
    ready(bench).deliver(work)
    assert bench.state.end.output == [40, work.attempt.id, 1]


def test_a_replacement_without_a_durable_form_runs_in_its_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacement_workflow, "end_of", lambda *_: None)

    @bench.app.task(name="plus")
    def plus(a: int, b: int) -> int:
        return a + b

    @bench.app.task(name="replace", bind=True)
    def replacing(self: Any, a: int) -> Any:
        return self.replace(plus.s(a, 1) | plus.s(10))

    ready(bench).run("replace", 4)
    assert bench.state.end.output == 15


# -- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["text", {}, {"instance": "no uuid"}, {"instance": new_id()}, None, 7]
)
def test_forged_messages_run_nothing(bench: Bench, header: Any) -> None:
    @bench.app.task(name="add")
    def add() -> None:
        raise AssertionError("it ran")

    ready(bench)
    work = bench.state.add("add")
    result = bench.app.tasks["add"].__trace__(
        work.attempt.id, [], {}, {"id": work.attempt.id, HEADER: header}
    )
    assert result.info.state == "IGNORED"
    assert bench.state.ends == []


def test_follow_ups_of_a_message_are_not_sent(bench: Bench) -> None:
    @bench.app.task(name="add")
    def add() -> int:
        return 1

    @bench.app.task(name="forged")
    def forged(*_: Any) -> None:
        raise AssertionError("it ran")

    bench.app.conf.task_always_eager = True
    ready(bench)
    link = json.loads(json.dumps(forged.s()))
    forgery = {"callbacks": [link], "errbacks": [link], "chain": [link], "chord": link}
    bench.deliver(bench.state.add("add"), args=[9], **forgery)
    assert bench.state.end.output == 1


def test_only_steps_run_where_only_steps_may(bench: Bench) -> None:
    ran: list[int] = []

    @bench.app.task(name="add")
    def add() -> None:
        ran.append(1)

    execution = runtime_of(bench.app)
    assert execution is not None
    execution.installed._settings = replace(execution.settings, steps_only=True)
    del execution.installed.settings
    ready(bench)
    assert add.__trace__(new_id(), [], {}, {"task": "add"}).info.state == "IGNORED"
    assert ran == []
    bench.run("add")
    assert ran == [1]


def test_a_claim_waits_for_the_database_and_so_does_an_end(bench: Bench) -> None:
    runs: list[int] = []

    @bench.app.task(name="add")
    def add() -> None:
        runs.append(1)
        bench.state.outages = 3

    bench.state.outages = 3
    ready(bench).run("add")
    assert (len(runs), len(bench.state.ends)) == (1, 1)


def test_before_start_may_fail(bench: Bench) -> None:
    class Base(Task):
        def before_start(self, *_: Any) -> None:
            raise ValueError("not today")

    @bench.app.task(name="add", base=Base)
    def add() -> None:
        raise AssertionError("it ran")

    ready(bench).run("add")
    assert bench.state.end.error is not None
    assert bench.state.end.error["detail"] == "not today"


def test_own_call_is_inside(bench: Bench) -> None:
    class Base(Task):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return {"wrapped": super().__call__(*args, **kwargs)}

    @bench.app.task(name="add", base=Base)
    def add(a: int) -> int:
        return a

    ready(bench).run("add", 5)
    assert bench.state.end.output == {"wrapped": 5}


# -- continuation ----------------------------------------------------------------------------------


def test_the_next_step_runs_after_the_predecessors_signals(bench: Bench) -> None:
    order: list[str] = []

    @bench.app.task(name="add", bind=True)
    def add(self: Any, name: str) -> str:
        order.append(f"{name} runs, {len(self.request_stack)}")
        return name

    def postrun(args: Any, **_: Any) -> None:
        order.append(f"{args[0]} ended")

    bench.state.follow_with("add", "two")
    signals.task_postrun.connect(postrun)
    try:
        ready(bench).run("add", "one")
    finally:
        signals.task_postrun.disconnect(postrun)
    assert order == ["one runs, 1", "one ended", "two runs, 1", "two ended"]
    assert [end.output for end in bench.state.ends] == ["one", "two"]


@pytest.mark.parametrize(
    "options", [{"rate_limit": "1/s"}, {"soft_time_limit": 1}, {"time_limit": 5}]
)
def test_what_is_not_continued(bench: Bench, options: dict[str, Any]) -> None:
    @bench.app.task(name="one")
    def one() -> None:
        pass

    @bench.app.task(name="two", **options)
    def two() -> None:
        pass

    bench.state.follow_with("two")
    ready(bench, forks=True).run("one")
    assert len(bench.state.ends) == 1


def test_a_stopping_worker_continues_nothing(bench: Bench) -> None:
    @bench.app.task(name="one")
    def one() -> None:
        execution = runtime_of(bench.app)
        assert execution is not None
        execution.in_flight.stopping = True

    bench.state.follow_with("one")
    ready(bench).run("one")
    assert len(bench.state.ends) == 1


def test_the_slot_is_empty_in_the_end(bench: Bench) -> None:
    in_flight: list[list[str]] = []
    execution = runtime_of(bench.app)
    assert execution is not None

    @bench.app.task(name="one")
    def one() -> None:
        in_flight.append(execution.in_flight.attempts())

    bench.state.follow_with("one")
    first = bench.state.add("one")
    second = bench.state.following[0].attempt.id
    ready(bench).deliver(first)
    assert in_flight == [[first.attempt.id], [second]]
    assert execution.in_flight.attempts() == []
    assert execution.in_flight.counter_totals()["continued"] == 1


# -- installing ------------------------------------------------------------


def test_installing_twice_is_harmless_and_late_is_refused(bench: Bench) -> None:
    install(bench.app)
    other = Celery("late", broker="memory://", set_as_current=False)
    trace.setup_worker_optimizations(other, "w@h")
    with pytest.raises(ConfigurationError, match="too late"):
        install(other)
    trace.reset_worker_optimizations(other)


def test_tasks_look_as_before(app: Celery) -> None:
    @app.task(name="early")
    def early(a: int) -> int:
        """What it does."""
        return a

    assert early(1) == 1

    def looks() -> tuple[Any, ...]:
        return (type(early).__name__, early.__module__, early.__doc__, early.__name__)

    before = looks()
    install(app)
    assert looks() == before
    assert repr(early).startswith("<@task: early of seam")
    assert "__call__" not in type(early).__dict__
