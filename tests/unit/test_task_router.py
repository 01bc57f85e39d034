"""Where an app routes its tasks: every way in which Celery can be told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu import Exchange, Queue
from kombu.common import Broadcast

from orchestrator.execution.runtime.task_router import routes_of
from orchestrator.message_names import CALL

# Celery warns of these attributes, and projects have them.
pytestmark = pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")


class OldRouter:
    """A router class as of Celery 3."""

    def route_for_task(self, task: str, args: Any = None, kwargs: Any = None) -> Any:
        return {"queue": "oldclass"} if task == "t.oldclass" else None


def by_function(
    name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **_: Any
) -> dict[str, Any] | None:
    """A router function that may read arguments, options and the task's type."""
    if name == "t.byargs":
        return {"queue": f"shard{kwargs.get('customer', 0)}"}
    if name == "t.bypositional":
        return {"queue": "long" if args else "short"}
    if name == "t.raises":
        return {"queue": kwargs["tenant"]}
    if name == "t.bytype":
        return {"queue": task.pool}
    if name == "t.byoptions" and options.get("time_limit") == 9:
        return {"queue": "urgent"}
    return None


OPTIONS: dict[str, dict[str, Any]] = {
    "t.attr": {"queue": "q1"},
    "t.both": {"queue": "q1"},
    "t.bytype": {"pool": "fromtype"},
    "t.byoptions": {"time_limit": 9},
}
OTHERS = (
    *("t.plain", "t.exact", "g.one", "film.cut", "t.oldclass", "t.topic", "t.all", "t.byargs"),
    *("t.bypositional", "t.raises", "t.alias", "t.key", "t.nowhere"),
)


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery("routed", broker="memory://", set_as_current=False) as app:
        app.conf.task_default_queue = "main"
        app.conf.task_queues = [
            Queue("main"),
            Queue("q1", alias="other"),
            Queue("media_video", Exchange("media", "topic"), "media.video.#"),
            Broadcast("all"),
        ]
        app.conf.task_routes = (
            by_function,
            OldRouter(),
            {
                "t.exact": "exact",
                "g.*": {"queue": "globbed"},
                re.compile(r"(image|film)\..+"): {"queue": "studio"},
                "t.topic": {"exchange": "media", "routing_key": "media.video.hd"},
                "t.all": {"queue": "all"},
                "t.both": {"queue": "fromroutes"},
                "t.alias": "other",
                "t.key": {"exchange": "media", "routing_key": "media.video.sd"},
                "t.nowhere": {"exchange": "media", "routing_key": "media.audio"},
            },
        )
        for name in (*OPTIONS, *OTHERS):

            def body() -> None:
                """Do nothing."""

            app.task(name=name, shared=False, **OPTIONS.get(name, {}))(body)

        @app.task(name=CALL, shared=False)
        def call() -> None:
            """Stand for our own task."""

        app.finalize()
        yield app


@pytest.mark.parametrize(
    ("task", "queue", "warning"),
    [
        ("t.plain", "main", None),
        ("t.attr", "q1", None),
        ("t.both", "q1", None),
        ("t.exact", "exact", None),
        ("t.alias", "q1", None),
        ("g.one", "globbed", None),
        ("film.cut", "studio", None),
        ("t.oldclass", "oldclass", None),
        ("t.bytype", "fromtype", None),
        ("t.byoptions", "urgent", None),
        ("t.topic", "media_video", None),
        ("t.key", "media_video", None),
        ("t.nowhere", None, "leads to 0 queues"),
        ("t.all", None, "broadcast"),
        ("t.byargs", "shard0", "reads arguments"),
        ("t.bypositional", "short", "reads arguments"),
        ("t.raises", None, "KeyError"),
        (CALL, "main", None),
    ],
)
def test_each_way_to_a_queue(
    app: Celery, task: str, queue: str | None, warning: str | None
) -> None:
    (route,) = (each for each in routes_of(app) if each.task == task)
    assert route.queue == queue
    assert (route.warning is None) == (warning is None)
    assert (warning or "") in (route.warning or "")


def test_asking_adds_no_queue(app: Celery) -> None:
    before, consumed = list(app.amqp.queues), list(app.amqp.queues.consume_from)
    routes = list(routes_of(app))
    assert list(app.amqp.queues) == before
    assert list(app.amqp.queues.consume_from) == consumed
    assert {*OPTIONS, *OTHERS, CALL} <= {route.task for route in routes}


def test_a_missing_queue_that_the_app_would_not_create(app: Celery) -> None:
    app.conf.task_create_missing_queues = False
    (route,) = (each for each in routes_of(app) if each.task == "t.exact")
    assert route.queue is None
    assert "QueueNotFound" in (route.warning or "")
