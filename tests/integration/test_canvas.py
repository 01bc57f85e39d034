"""Durable canvases on a real worker, with Celery itself beside them."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import celery.exceptions
import pytest
import redis
from celery import chain, chord, group

from orchestrator.canvas import CanvasRefused, DurableResult, WorkflowFaulted, durable, expr
from orchestrator.client import Client
from orchestrator.ids import new_id
from orchestrator.json_codec import NotJson
from tests.support.canvases import Both, differences, generated, shown, written
from tests.support.stack import Stack

APP = "tests.celery_apps.canvases"
SHARED = Path(__file__).parents[3] / "shared" / "canvas"

#: Canvases of the shared set that are refused, or end where Celery's own never do.
REFUSED = {
    "headers": "the option `headers` is refused",
    "nan": "NaN and infinite numbers are not JSON",
}
ENDED = {"ignore_in_chain": None}

pytestmark = pytest.mark.filterwarnings(
    "ignore:task_allow_error_cb_on_chord_header", "ignore::ResourceWarning"
)


class Canvases:
    """The running product, and the tasks' module."""

    def __init__(self, stack: Stack, environment: dict[str, str], tasks: ModuleType) -> None:
        self.stack, self.environment, self.tasks = stack, environment, tasks
        self.server = redis.Redis.from_url(stack.broker_url)
        self.client = Client(stack.settings["api_url"])
        self.both = Both(self.server, self.client)

    def close(self) -> None:
        """Close the connections of this process."""
        self.client.close()
        self.server.close()

    def worker(self, name: str, **options: Any) -> Any:
        """Start a worker of the app."""
        options["arguments"] = ("--without-mingle", "--without-gossip")
        return self.stack.worker(name, app=APP, env=self.environment, **options)

    def start(self, canvas: Any, **options: Any) -> DurableResult:
        """Start a canvas."""
        return durable(canvas, client=self.client, **options).start()

    def get(self, canvas: Any, **options: Any) -> Any:
        """Run a canvas; return its result."""
        return self.start(canvas, **options).get(timeout=60)

    def notes(self, tag: str) -> list[Any]:
        """What tasks noted under this tag, in order."""
        found: Any = self.server.lrange(f"canvas:{tag}", 0, -1)
        return [json.loads(note) for note in found]

    def waiting(self, key: str, count: int = 1) -> None:
        """Wait until so many tasks wait for this key."""

        def waits() -> bool:
            found: Any = self.server.llen(f"waiting:{key}")
            return bool(found >= count)

        self.stack.until(waits, f"{key} waits")

    def let_go(self, key: str, count: int = 1) -> None:
        """Let the tasks that wait for this key continue."""
        self.server.rpush(f"go:{key}", *["1"] * count)


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str, module_broker_url: str
) -> Iterator[Canvases]:
    """API, beat and one worker; this process has the same app."""
    folder = tmp_path_factory.mktemp("canvas")
    environment = {"CANVAS_LOG": str(folder / "log"), "CANVAS_ERRBACK": str(folder / "errback")}
    if SHARED.exists():
        environment["CANVAS_TASKS"] = str(SHARED)
    settings = {"lease": 2, "republish_after": 2, "auth_required": "false"}
    with (
        pytest.MonkeyPatch.context() as patch,
        Stack(folder, module_database_url, module_broker_url, **settings) as stack,
    ):
        stack.api()
        for name, value in {**environment, "ORCHESTRATOR_BROKER_URL": module_broker_url}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "dont_write_bytecode", True)
        module = importlib.import_module(APP)
        # The module may have been made for another broker, by another test.
        module.app.conf.update(broker_url=module_broker_url, result_backend=module_broker_url)
        module.app.set_default()
        canvases = Canvases(stack, environment, module.canvas_tasks)
        stack.beat(app=APP, env=environment)
        canvases.worker("worker", concurrency=4)
        yield canvases
        canvases.close()
        backend = module.app.backend
        backend.result_consumer.stop()
        backend.client.connection_pool.disconnect()
        # Results that Celery has lost are collected later: they would connect again.
        vars(backend)["remove_pending_result"] = lambda result: result
        # kombu shares the pool with every app of this process that names the same broker.
        module.app.pool.force_close_all(close_pool=False)
        module.app.pool.setup()


@pytest.fixture
def tag() -> str:
    """A tag for the notes of one test."""
    return new_id()


# -- Celery's results ------------------------------------------------------


def _shared(name: str) -> Any:
    module = importlib.import_module("canvases")
    return module.CANVASES[name]()


def _lines(variable: str) -> list[Any]:
    path = Path(os.environ[variable])
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_shared_canvases_give_celerys_results(running: Canvases) -> None:
    if not SHARED.exists():
        pytest.skip(f"needs {SHARED}, which is not part of the product")
    expected = json.loads((SHARED / "celery.json").read_text())
    wrong = []
    for name in importlib.import_module("canvases").CANVASES:
        for variable in ("CANVAS_LOG", "CANVAS_ERRBACK"):
            Path(os.environ[variable]).unlink(missing_ok=True)
        wanted = {**expected[name], **_of_version(expected[name])}
        if (got := _outcome_of_shared(running, name)) != _wanted(name, wanted):
            wrong.append((name, got, _wanted(name, wanted)))
    assert wrong == []


def _of_version(wanted: dict[str, Any]) -> dict[str, Any]:
    own = ".".join(celery.__version__.split(".")[:2])
    others = wanted.get("other", {})
    return next((one for version, one in others.items() if version.startswith(own)), {})


def _wanted(name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    if name in REFUSED:
        return {"refused": True}
    notes = {
        "log": sorted(json.dumps(line) for line in wanted.get("log", [])),
        "errbacks": len(wanted.get("errback", [])),
    }
    if name in ENDED:
        return {**notes, "value": ENDED[name]}
    return {**notes, **{key: wanted[key] for key in ("value", "raised") if key in wanted}}


def _outcome_of_shared(running: Canvases, name: str) -> dict[str, Any]:
    outcome: dict[str, Any] = {}
    try:
        outcome["value"] = json.loads(json.dumps(running.get(_shared(name))))
    except Exception as error:  # noqa: BLE001  the tasks' own
        kind = type(error)
        if kind in (CanvasRefused, WorkflowFaulted) and REFUSED.get(name, "-") in str(error):
            return {"refused": True}
        outcome["raised"] = f"{kind.__module__}.{kind.__name__}: {error}"
    outcome["log"] = sorted(json.dumps(line) for line in _lines("CANVAS_LOG"))
    outcome["errbacks"] = len(_lines("CANVAS_ERRBACK"))
    return outcome


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_canvases_written_by_hand_give_celerys_results(running: Canvases) -> None:
    pairs = running.both.run(written(running.tasks))
    print(shown(pairs))
    assert len(pairs) >= 60
    assert differences(pairs) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, 500, 50))
def test_generated_canvases_give_celerys_results(running: Canvases, first: int) -> None:
    pairs = running.both.run(generated(running.tasks, range(first, first + 50)))
    print(shown(pairs))
    assert differences(pairs) == []
    assert sum(theirs.value is not None for theirs, _ in pairs.values()) >= 10
    assert sum(ours.raised is not None for _, ours in pairs.values()) >= 10


# -- deaths ----------------------------------------------------------------


def _middle(tasks: ModuleType, tag: str) -> dict[str, tuple[Any, Any, int]]:
    """Ten canvases with tasks that wait in their middle: canvas, result, how many wait."""
    t = tasks
    total, two = t.total.s(), [t.add.s(1, 1), t.add.s(2, 2)]

    def gate(name: str, value: Any) -> Any:
        return t.wait.si(f"{tag}:{name}", value)

    return {
        "chord": (chord([gate("chord", n) for n in (1, 2, 3)], t.total.s()), 6, 3),
        "chain": (chain(t.add.s(1, 1), t.gate.s(f"{tag}:chain"), t.mul.s(10)), 20, 1),
        "group": (group(gate("group", n) for n in (1, 2)), [1, 2], 2),
        "unlike": (group(gate("unlike", 1), t.add.s(1, 1)), [1, 2], 1),
        "chains": (
            group(chain(t.add.s(n, 1), t.gate.s(f"{tag}:chains")) for n in (1, 2)),
            [2, 3],
            2,
        ),
        "nested": (
            chord([chord([gate("nested", 1), gate("nested", 2)], total), t.add.s(1, 1)], total),
            5,
            2,
        ),
        "body": (chord(two, chain(total, t.gate.s(f"{tag}:body"))), 6, 1),
        "after": (chain(group(two), t.gate.s(f"{tag}:after"), total), 6, 1),
        "typed": (
            chain(t.same.s(Decimal("1.10")), t.gate.s(f"{tag}:typed"), t.mul.s(2)),
            Decimal("2.20"),
            1,
        ),
        "replaced": (
            chain(t.replaced_by_gates.s([f"{tag}:replaced"] * 2), t.total.s()),
            1,
            2,
        ),
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_canvases_survive_the_death_of_every_worker_where_celerys_own_are_lost(
    running: Canvases, tag: str
) -> None:
    ours = _middle(running.tasks, f"{tag}:ours")
    theirs = _middle(running.tasks, f"{tag}:theirs")
    worker = running.worker("doomed", pool="threads", concurrency=60)
    running.stack.supervisor.processes["worker"].kill()
    started = {name: running.start(canvas) for name, (canvas, _, _) in ours.items()}
    plain = {name: canvas.apply_async() for name, (canvas, _, _) in theirs.items()}
    for kind, canvases in (("ours", ours), ("theirs", theirs)):
        for name, (_, _, count) in canvases.items():
            running.waiting(f"{tag}:{kind}:{name}", count)
    worker.kill()
    running.worker("worker", pool="threads", concurrency=60)
    for name, (_, _, count) in ours.items():
        running.waiting(f"{tag}:ours:{name}", 2 * count)
        running.let_go(f"{tag}:ours:{name}", 2 * count)
        running.let_go(f"{tag}:theirs:{name}", 2 * count)
    results = {name: result.get(timeout=60) for name, result in started.items()}
    assert results == {name: value for name, (_, value, _) in ours.items()}
    lost = [name for name, result in plain.items() if not result.ready()]
    assert lost == list(theirs), "Celery's own canvases have lost the tasks that ran"
    # A worker of threads leaves steps with a time limit to processes.
    running.stack.supervisor.processes["worker"].kill()
    running.worker("worker", concurrency=4)


# -- results ---------------------------------------------------------------


def test_the_tasks_own_exception_comes_out(running: Canvases) -> None:
    t = running.tasks
    result = running.start(chain(t.add.s(1, 1), t.decline.s(amount=Decimal("2.50"))))
    with pytest.raises(t.Declined) as raised:
        result.get(timeout=60)
    assert raised.value.amount == Decimal("2.50")
    assert isinstance(result.get(propagate=False), t.Declined)
    assert (result.status, result.state, result.failed()) == ("faulted", "FAILURE", True)
    again = DurableResult(result.id, running.client)
    assert isinstance(again.result, t.Declined)


def test_an_exception_that_cannot_be_built_is_a_workflow_faulted(running: Canvases) -> None:
    with pytest.raises(WorkflowFaulted) as raised:
        running.get(running.tasks.unbuildable.s())
    assert raised.value.error["title"] == "Unbuildable"


def test_a_group_has_its_members_as_children(running: Canvases, tag: str) -> None:
    t = running.tasks
    result = running.start(group(t.add.s(1, 1), t.decline.s(), t.note.s(tag, "third")))
    values = result.get(timeout=60, propagate=False)
    assert [values[0], type(values[1]), values[2]] == [2, t.Declined, "third"]
    assert len(result.children) == 3
    assert result.children[0].get() == 2
    with pytest.raises(t.Declined):
        result[1].get()
    with pytest.raises(t.Declined):
        result.join()
    assert running.notes(tag) == ["third"]


def test_fail_fast_withdraws_the_other_members(running: Canvases, tag: str) -> None:
    t = running.tasks
    late = chain(t.add.s(1, 1).set(countdown=30), t.note.si(tag, "late"))
    with pytest.raises(ValueError, match="failed"):
        running.get(group(t.fail.s(), late), fail_fast=True)
    assert running.notes(tag) == []


def test_a_wait_that_is_too_short_times_out(running: Canvases, tag: str) -> None:
    result = running.start(running.tasks.wait.s(tag, 7))
    with pytest.raises(celery.exceptions.TimeoutError):
        result.get(timeout=0.1)
    assert not result.ready()
    running.let_go(tag)
    assert result.get(timeout=60) == 7
    assert (result.successful(), result.state) == (True, "SUCCESS")
    result.forget()
    assert result.get() == 7


def test_revoke_cancels_and_undoes(running: Canvases, tag: str) -> None:
    t = running.tasks
    paid = t.same.s({"id": "ch-1"}).set(compensate=t.undo.s(tag, "pay", charge=expr("$output.id")))
    result = running.start(chain(paid, t.wait.si(tag)))
    running.waiting(tag)
    with pytest.raises(ValueError, match="a running step is never killed"):
        result.revoke(terminate=True)
    result.revoke(reason="no longer wanted")
    running.let_go(tag)
    with pytest.raises(celery.exceptions.TaskRevokedError):
        result.get(timeout=60)
    assert running.notes(tag) == [["undone", "pay", {"charge": "ch-1"}]]
    assert result.state == "REVOKED"


def test_a_failure_undoes_what_was_done(running: Canvases, tag: str) -> None:
    t = running.tasks
    steps = [t.same.si(n).set(compensate=t.undo.s(tag, n, value=expr("$output"))) for n in (1, 2)]
    with pytest.raises(t.Declined):
        running.get(chain(*steps, t.decline.si()))
    assert running.notes(tag) == [["undone", n, {"value": n}] for n in (2, 1)]


def test_members_of_a_group_are_undone_too(running: Canvases, tag: str) -> None:
    t = running.tasks
    members = group(
        t.same.si(n).set(compensate=t.undo.s(tag, n, value=expr("$output"))) for n in range(3)
    )
    with pytest.raises(t.Declined):
        running.get(chain(members, t.decline.s()))
    assert sorted(running.notes(tag)) == [["undone", n, {"value": n}] for n in range(3)]


def test_a_closing_task_runs_in_any_case(running: Canvases, tag: str) -> None:
    t = running.tasks
    good = running.get(chain(t.add.s(1, 1), t.mul.s(2)), finally_=t.note.s(tag, "good"))
    assert good == 4
    with pytest.raises(t.Declined):
        running.get(chain(t.add.s(1, 1), t.decline.s()), finally_=t.note.s(tag, "bad"))
    assert running.get(chain(t.stop.s(3), t.fail.s()), finally_=t.note.s(tag, "left")) == 3
    assert running.notes(tag) == ["good", "bad", "left"]


def test_a_plain_row_runs_in_order_without_results(running: Canvases, tag: str) -> None:
    t = running.tasks
    assert running.get([t.note.s(tag, 1), t.note.s(tag, 2), t.show.s("own")]) == {
        "args": ["own"],
        "kwargs": {},
    }
    assert running.notes(tag) == [1, 2]


def test_a_task_may_end_the_rest_of_its_chain(running: Canvases, tag: str) -> None:
    t = running.tasks
    assert running.get(chain(t.stop.s(7), t.note.s(tag, "rest"))) == 7
    assert running.get(chain(t.ignore.s(), t.note.s(tag, "rest"))) is None
    header = [chain(t.stop.s(7), t.note.s(tag, "rest")), t.add.s(1, 1)]
    assert running.get(chord(header, t.total.s())) == 9
    assert running.notes(tag) == []


def test_a_replacement_is_a_workflow_of_its_own(running: Canvases) -> None:
    result = running.start(chain(running.tasks.replaced_by_chord.s(1), running.tasks.mul.s(2)))
    assert result.get(timeout=60) == 12
    (step, *_) = running.client.steps(result.id)
    assert step.child is not None
    child = running.client.get(step.child)
    assert (child.status, child.output) == ("completed", 6)


def test_start_takes_what_celery_and_the_api_take(running: Canvases, tag: str) -> None:
    t = running.tasks
    canvas = durable(chain(t.show.s("b"), t.same.s()), client=running.client)
    options: dict[str, Any] = {"business_id": tag, "labels": {"of": "test"}, "wait": 60}
    result = canvas.start(args=["a"], kwargs={"k": 1}, **options)
    assert result.get() == {"args": ["a", "b"], "kwargs": {"k": 1}}
    run = running.client.get(result.id)
    assert (run.business_id, run.data["labels"]) == (tag, {"of": "test"})
    assert canvas.delay("x").get(timeout=60)["args"] == ["x", "b"]
    assert [one.workflow for one in running.client.instances(business_id=tag)] == [run.workflow]


def test_delay_starts_a_signature_or_a_task(
    running: Canvases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.canvas.start.process_client", lambda: running.client)
    t = running.tasks
    assert durable.delay(t.add, 1, 2).get(timeout=60) == 3
    assert durable.delay(t.add.s(5), 1).get(timeout=60) == 6


def test_a_document_that_was_removed_meanwhile_is_deployed_again(running: Canvases) -> None:
    canvas = chain(running.tasks.add.s(1, 1), running.tasks.show.s(removed=True))
    first = running.start(canvas)
    assert first.get(timeout=60)["args"] == [2]
    running.client.delete_workflow(running.client.get(first.id).workflow)
    assert running.get(canvas)["args"] == [2]


def test_a_value_that_cannot_be_encoded_is_refused_before_the_start(running: Canvases) -> None:
    with pytest.raises(NotJson, match=r"the arguments of same.*NaN"):
        running.start(running.tasks.same.s(float("nan")))


def test_an_eta_is_waited_for(running: Canvases) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    t = running.tasks
    assert running.get(chain(t.add.s(1, 1), t.add.s(1).set(eta=past))) == 3


def test_expired_steps_are_revoked(running: Canvases) -> None:
    with pytest.raises(celery.exceptions.TaskRevokedError, match="in time"):
        running.get(running.tasks.add.s(1, 1).set(queue="nobody", expires=0.5))


@pytest.mark.slow
def test_a_time_limit_ends_the_attempt(running: Canvases, tag: str) -> None:
    t = running.tasks
    with pytest.raises(celery.exceptions.TimeLimitExceeded):
        running.get(chain(t.add.s(1, 1), t.wait.si(tag).set(time_limit=1), t.note.si(tag, "after")))
    assert running.notes(tag) == []


def test_like_canvases_share_one_document(running: Canvases) -> None:
    t = running.tasks
    runs: list[Callable[[], Any]] = [
        lambda: group(t.mul.s(n, 2) for n in range(2)),
        lambda: group(t.mul.s(n, 2) for n in range(40)),
    ]
    results = [running.start(make()) for make in runs]
    assert [len(result.get(timeout=60)) for result in results] == [2, 40]
    assert len({running.client.get(result.id).workflow for result in results}) == 1
