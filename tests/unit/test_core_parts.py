"""The small parts of the core alone: tables of moves, errors, templates."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.dsl_errors import equal_types, matches, standard_error, with_instance
from orchestrator.core.expression_template import Expression, Template, transformation
from orchestrator.core.legal_status_changes import (
    ATTEMPT,
    COMPENSATION,
    INSTANCE,
    STEP,
    IllegalMove,
    change_status,
)
from orchestrator.core.model import (
    ENDED_STATUSES,
    OPEN_STATUSES,
    AttemptState,
    Compensation,
    Status,
)
from orchestrator.errors import ERROR_TYPES


def test_every_status_has_its_row() -> None:
    assert set(INSTANCE) == set(STEP) == set(Status) == OPEN_STATUSES | ENDED_STATUSES
    assert set(ATTEMPT) == set(AttemptState)
    assert set(COMPENSATION) == set(Compensation)


def test_what_is_completed_stays_completed() -> None:
    assert INSTANCE[Status.COMPLETED] == STEP[Status.COMPLETED] == frozenset()


def test_an_ended_instance_only_begins_a_new_run() -> None:
    for status in ENDED_STATUSES:
        assert INSTANCE[status] <= {Status.RUNNING, Status.WAITING}


def test_an_illegal_move_raises() -> None:
    assert change_status(STEP, Status.RUNNING, Status.COMPLETED) is Status.COMPLETED
    assert change_status(STEP, Status.COMPLETED, Status.COMPLETED) is Status.COMPLETED
    with pytest.raises(IllegalMove, match="completed to running"):
        change_status(STEP, Status.COMPLETED, Status.RUNNING)
    with pytest.raises(IllegalMove, match="succeeded to lost"):
        change_status(ATTEMPT, AttemptState.SUCCEEDED, AttemptState.LOST)


# -- errors --------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://x.example/a", "https://x.example/a", True),
        ("https://x.example/a", "https://y.example/a", False),
        (ERROR_TYPES + "timeout", "https://serverlessworkflow.io/dsl/errors/types/timeout", True),
        (ERROR_TYPES + "timeout", "https://open-workflow-specification.org/x/timeout/", True),
        (ERROR_TYPES + "timeout", ERROR_TYPES + "runtime", False),
        (ERROR_TYPES + "timeout", "https://example.com/timeout", False),
        ("timeout", ERROR_TYPES + "timeout", False),
    ],
)
def test_types_of_errors(one: str, other: str, same: bool) -> None:
    assert equal_types(one, other) is same
    assert equal_types(other, one) is same


def test_an_error_has_a_type_a_status_and_a_place() -> None:
    assert with_instance({}, "/do/0/a") == {
        "type": ERROR_TYPES + "runtime",
        "status": 500,
        "instance": "/do/0/a",
    }
    known = {"type": "t", "status": 1, "title": "T", "detail": "D", "instance": "/do/9/z"}
    assert with_instance({**known, "extra": 1}, "/do/0/a") == known


def test_a_filter_names_what_must_be_equal() -> None:
    error = with_instance(standard_error("timeout", "slow"), "/do/0/a")
    assert matches({}, error)
    assert matches({"status": 408, "instance": "/do/0/a", "detail": "slow"}, error)
    assert not matches({"status": 408, "title": "Other"}, error)
    assert matches({"unknown member": 1}, error)


# -- templates --------------------


def fill(template: Template | None) -> Any:
    assert template is not None
    return template.render(lambda expression: f"<{expression.program}>")


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${ .a }", "<.a>"),
        (" ${.a} ", "<.a>"),
        ("${ .a } and ${ .b }", "<.a } and ${ .b>"),
        ("x ${ .a }", "x ${ .a }"),
        (".a", ".a"),
        ("", ""),
    ],
)
def test_a_text_is_an_expression_as_a_whole_or_not_at_all(text: str, filled: str) -> None:
    assert fill(Template(text)) == filled


def test_templates_are_filled_however_deep() -> None:
    value = {"a": [1, "${ .x }", {"b": "${ $y }", "${ key }": None}]}
    template = Template(value)
    assert fill(template) == {"a": [1, "<.x>", {"b": "<$y>", "${ key }": None}]}
    assert template.names() == {"y"}
    assert not template.plain
    assert Template({"a": [1, "text"]}).plain


def test_a_transformation_in_a_text_is_always_an_expression() -> None:
    assert fill(transformation(".a", loose=False)) == "<.a>"
    assert fill(transformation({"x": ".a", "y": "${ .b }"}, loose=False)) == {
        "x": ".a",
        "y": "<.b>",
    }
    assert transformation(None, loose=False) is None


@pytest.mark.parametrize(
    ("program", "names"),
    [
        (".a", ()),
        ("$a + $b.c + $a", ("a", "b")),
        ('"\\($x)"', ("x",)),
        ("now - 3", ("__now",)),
        (".now + $now", ("now",)),
    ],
)
def test_what_an_expression_may_need(program: str, names: tuple[str, ...]) -> None:
    assert Expression(program).names == names
