"""Durable canvases under `task_always_eager`: Celery's own results, without an API."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import celery
import pytest
from celery import Celery, chain, chord, group

from orchestrator.canvas import WorkflowFaulted, durable
from orchestrator.canvas.errors import CanvasRefused
from orchestrator.client import ApiError
from orchestrator.errors import ConfigurationError
from orchestrator.testing import UnknownTask

SHARED = Path(__file__).parents[3] / "shared" / "canvas"


class Declined(Exception):
    """What a task raises."""


@pytest.fixture(scope="module")
def app() -> Iterator[Celery]:
    app = Celery("eager", broker="memory://", set_as_current=False)
    app.conf.task_always_eager = True
    yield app
    app.close()


@pytest.fixture(scope="module")
def tasks(app: Celery) -> dict[str, Any]:
    def add(x: Any, y: Any) -> Any:
        return x + y

    def total(numbers: list[Any]) -> Any:
        return sum(numbers)

    def decline(*_: Any) -> None:
        raise Declined("no money")

    def again(self: Any, x: int) -> int:
        if self.request.retries < 2:
            raise self.retry(countdown=3600)
        return x

    def nested(x: int) -> Any:
        return durable(group(made["add"].s(x, 1), made["add"].s(x, 2))).start().get()

    def give(x: Any) -> Any:
        return x

    made: dict[str, Any] = {}
    for function in (add, total, decline, again, nested, give):
        options: dict[str, Any] = {"shared": False, "bind": function is again}
        made[function.__name__] = app.task(name=f"eager.{function.__name__}", **options)(function)
    return made


CANVASES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "chain": lambda t: chain(t["add"].s(1, 1), t["add"].s(5), t["add"].s(10)),
    "group": lambda t: group(t["add"].s(n, n) for n in range(5)),
    "chord": lambda t: chord([t["add"].s(n, 1) for n in range(5)], t["total"].s()),
    "nested": lambda t: chain(
        group(chain(t["add"].s(1, 1), t["add"].s(2)), t["add"].s(3, 3)), t["total"].s()
    ),
    "values": lambda t: chain(t["add"].s(Decimal("1.10"), Decimal("2.20")), t["give"].s()),
    "pipe": lambda t: t["add"].s(1, 2) | t["add"].s(3),
    "task": lambda t: t["add"].s(2, 2),
}


@pytest.mark.parametrize("name", CANVASES)
def test_a_canvas_gives_celerys_own_result(tasks: dict[str, Any], name: str):
    expected = CANVASES[name](tasks).apply().get()
    result = durable(CANVASES[name](tasks)).start()
    assert (result.ready(), result.get(timeout=1)) == (True, expected)


def test_a_failure_is_the_tasks_own_exception(app: Celery, tasks: dict[str, Any]):
    canvas = chain(tasks["add"].s(1, 1), tasks["decline"].s())
    result = durable(canvas).start()
    assert (result.status, result.failed()) == ("faulted", True)
    with pytest.raises(Declined, match="no money"):
        result.get()
    members = durable(group(tasks["add"].s(1, 1), tasks["decline"].s())).start()
    first, second = members.get(propagate=False)
    assert (first, type(second)) == (2, Declined)
    app.conf.task_eager_propagates = True
    try:
        with pytest.raises(Declined):
            durable(canvas).start()
    finally:
        app.conf.task_eager_propagates = False


def test_retries_and_delays_take_no_time(tasks: dict[str, Any]):
    canvas = chain(tasks["again"].s(1), tasks["add"].s(1).set(countdown=3600))
    assert durable(canvas).start().get() == 2


def test_a_task_may_start_a_canvas_itself(tasks: dict[str, Any]):
    assert durable(chain(tasks["nested"].s(1), tasks["total"].s())).start().get() == 5
    assert durable.delay(tasks["add"].s(1), 2).get() == 3


def test_starts_are_identified_as_the_api_does(tasks: dict[str, Any]):
    canvas = durable(tasks["add"].s(1, 1))
    first = canvas.start(business_id="o-1", idempotency_key="k")
    assert canvas.start(idempotency_key="k") == first
    with pytest.raises(ApiError, match="in use"):
        canvas.start(business_id="o-1")
    assert len({canvas.start().id for _ in range(20)}) == 20
    with pytest.raises(ApiError, match="cancel is refused"):
        first.revoke()


def test_what_needs_an_api_and_what_has_no_form_is_said(app: Celery, tasks: dict[str, Any]):
    result = durable(tasks["add"].s(1, 1)).start()
    with pytest.raises(ConfigurationError, match="task_always_eager is set"):
        result.client.suspend(result.id)
    with pytest.raises(CanvasRefused):
        durable(tasks["add"].s(1, 1).set(serializer="pickle")).start()
    with pytest.raises(UnknownTask, match=r"did you mean 'eager\.add'"):
        durable(app.signature("eager.ad", args=(1, 1))).start()


# -- the canvases whose results on Celery are recorded --------------------------------------------

#: It ends where Celery's own never does.
ENDED = {"ignore_in_chain": None}


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    if not SHARED.exists():
        pytest.skip(f"needs {SHARED}, which is not part of the product")
    folder = tmp_path_factory.mktemp("canvas")
    environment = {"CANVAS_LOG": str(folder / "log"), "CANVAS_ERRBACK": str(folder / "errback")}
    patch = pytest.MonkeyPatch()
    for name, value in environment.items():
        patch.setenv(name, value)
    patch.syspath_prepend(str(SHARED))
    app = Celery("canvas_eager", broker="memory://")
    app.conf.task_always_eager = True
    app.set_default()
    yield importlib.import_module("canvases")
    for name in ("canvases", "tasks"):
        sys.modules.pop(name, None)
    patch.undo()
    app.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_recorded_canvases_give_celerys_values(shared: ModuleType):
    expected = json.loads((SHARED / "celery.json").read_text())
    own = ".".join(celery.__version__.split(".")[:2])
    wrong, equal, refused = [], 0, []
    for name in shared.CANVASES:
        others = expected[name].get("other", {})
        found = [one for key, one in others.items() if key.startswith(own)]
        wanted = {**expected[name], **(found[0] if found else {})}
        try:
            got = {"value": durable(shared.CANVASES[name]()).start().get()}
        except CanvasRefused:
            refused.append(name)
            continue
        except WorkflowFaulted as error:
            if "NaN" in str(error):
                refused.append(name)
                continue
            got = {"raised": str(error)}
        except Exception as error:  # noqa: BLE001  any class may come out
            kind = type(error)
            got = {"raised": f"{kind.__module__}.{kind.__name__}: {error}"}
        if name in ENDED:
            wanted = {"value": ENDED[name]}
        same = {key: wanted[key] for key in ("value", "raised") if key in wanted}
        if json.dumps(got, default=str) == json.dumps(same):
            equal += 1
        else:
            wrong.append((name, got, same))
    assert wrong == []
    assert sorted(refused) == ["headers", "nan"]
    assert equal > 50


def test_a_run_that_is_kept_no_longer_releases_its_names(
    app: Celery, tasks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("orchestrator.testing.eager.KEPT", 1)
    canvas = durable(chain(tasks["add"].s(1, 1), tasks["add"].s(2)))
    first = canvas.start(business_id="one")
    canvas.start(business_id="two")
    again = canvas.start(business_id="one")
    assert (again.id != first.id, again.get()) == (True, 4)
