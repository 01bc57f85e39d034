"""The error of an expression names the expression's place in its task."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.calls.call_context import CallContext
from orchestrator.errors import WorkflowError
from orchestrator.expressions import Evaluator
from orchestrator.testing.world import World
from tests.support.documents import doc

BAD = '${ error("bad") }'
BARE = 'error("bad")'
FAULT = {"type": "https://x", "status": 400}
FAILS = [{"x": {"raise": {"error": FAULT}}}]

PLACES: list[tuple[dict[str, Any], str]] = [
    ({"if": BARE, "set": {"x": 1}}, "if"),
    ({"set": {"x": [1, {"y": BAD}]}}, "set.x[1].y"),
    ({"set": BAD}, "set"),
    ({"input": {"from": BARE}, "set": {"x": 1}}, "input.from"),
    ({"input": {"from": {"a": BAD}}, "set": {"x": 1}}, "input.from.a"),
    ({"set": {"x": 1}, "output": {"as": BARE}}, "output.as"),
    ({"set": {"x": 1}, "export": {"as": BARE}}, "export.as"),
    ({"call": "t", "with": {"amount": BAD}}, "with.amount"),
    ({"call": "celery", "with": {"task": "t", "args": [1, BAD]}}, "with.args[1]"),
    ({"call": "celery", "with": {"task": BAD}}, "with.task"),
    ({"call": "celery", "with": {"task": "t", "queue": BAD}}, "with.queue"),
    ({"call": "t", "metadata": {"queue": BAD}}, "metadata.queue"),
    ({"call": "http", "with": {"method": "get", "endpoint": "https://x", "query": {"q": BAD}}},
     "with.query.q"),
    ({"switch": [{"a": {"when": "false", "then": "end"}}, {"b": {"when": BARE, "then": "end"}}]},
     "switch.b.when"),
    ({"for": {"in": BARE}, "do": []}, "for.in"),
    ({"for": {"in": "[1]"}, "while": BARE, "do": [{"x": {"set": {"y": 1}}}]}, "while"),
    ({"try": FAILS, "catch": {"when": BARE}}, "catch.when"),
    ({"try": FAILS, "catch": {"exceptWhen": BARE}}, "catch.exceptWhen"),
    ({"try": FAILS, "catch": {"retry": {"delay": BAD}}}, "retry.delay"),
    ({"emit": {"event": {"with": {"type": "t", "data": {"x": BAD}}}}}, "emit.event.with.data.x"),
    ({"raise": {"error": {**FAULT, "detail": BAD}}}, "raise.error.detail"),
    ({"run": {"workflow": {"namespace": "a", "name": BAD, "version": "latest"}}},
     "run.workflow.name"),
    ({"wait": BAD}, "wait"),
    ({"wait": "PT1S", "timeout": {"after": BAD}}, "timeout.after"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "place"), PLACES, ids=[place for _, place in PLACES])
def test_the_place_of_an_expression_that_fails(task: dict[str, Any], place: str) -> None:
    world = World(doc({"t": task}))
    error = world.instance(world.start(input={})).error
    assert error["type"].endswith("/expression")
    assert error["detail"] == f"bad (in {place})"


def test_the_place_of_an_argument_that_the_worker_evaluates() -> None:
    evaluator = Evaluator()
    context = CallContext(outbound=None, evaluate=evaluator.evaluate)  # type: ignore[arg-type]
    with pytest.raises(WorkflowError) as caught:
        context.fill({"args": [1, BAD]}, "with")
    evaluator.close()
    assert caught.value.detail == "bad (in with.args[1])"


@pytest.mark.parametrize(
    "program", ["$secrets.pin | tonumber", "$secrets.pin | error", "$secrets.pin | fromjson"]
)
def test_the_message_of_an_expression_that_uses_a_secret_is_not_shown(program: str) -> None:
    """jq quotes the value, and cuts a long one, so that no mask would find it."""
    evaluator = Evaluator()
    context = CallContext(
        outbound=None,  # type: ignore[arg-type]
        evaluate=evaluator.evaluate,
        secret_names=("pin",),
        secret=lambda _: "s3cret-value-that-is-long",
    )
    with pytest.raises(WorkflowError) as caught:
        context.fill({"x": "${ " + program + " }"}, "with")
    evaluator.close()
    assert "s3cret" not in str(caught.value.to_json())
    assert "uses a secret (in with)" in str(caught.value.detail)
    assert caught.value.__cause__ is None
