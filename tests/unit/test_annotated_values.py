"""What a task returned comes out as the same type where the next task's signature says so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Optional
from uuid import UUID

import pytest

from orchestrator.errors import WorkflowError
from orchestrator.execution.step.annotated_values import annotated
from orchestrator.json_codec import NotJson, dumps, loads, to_json


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Price(Enum):
    CHEAP = Decimal("1.10")


@dataclass
class Line:
    sku: str
    price: Decimal
    at: datetime | None = None


@dataclass
class Order:
    lines: list[Line]
    colour: Colour


class Model:
    """As pydantic's models validate."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def model_validate(cls, value: Any) -> Model:
        if not isinstance(value, dict):
            raise ValueError
        return cls(value)


SAME: list[tuple[Any, Any]] = [
    (Decimal, Decimal("1.10")),
    (datetime, datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)),
    (date, date(2026, 1, 2)),
    (time, time(3, 4, 5)),
    (UUID, UUID("0199a7c4-0000-7000-8000-000000000000")),
    (bytes, b"\x00\xff"),
    (Colour, Colour.RED),
    (Level, Level.LOW),
    (Price, Price.CHEAP),
    (Line, Line("a", Decimal("1.10"), datetime(2026, 1, 2, tzinfo=UTC))),
    (Order, Order([Line("a", Decimal(1))], Colour.RED)),
    (list[Decimal], [Decimal("1.10"), Decimal(2)]),
    (Sequence[date], [date(2026, 1, 2)]),
    (dict[str, UUID], {"a": UUID("0199a7c4-0000-7000-8000-000000000000")}),
    (Mapping[str, list[bytes]], {"a": [b"x"]}),
    (tuple[str, Decimal], ("a", Decimal("1.10"))),
    (tuple[date, ...], (date(2026, 1, 2), date(2026, 1, 3))),
    (Decimal | None, Decimal("1.10")),
    (Decimal | None, None),
    (Optional[date], date(2026, 1, 2)),  # noqa: UP045  (as older code has it)
    (Annotated[Decimal, "euros"], Decimal("1.10")),
    (str | Decimal, "1.10"),
    (int | Colour, Colour.RED),
    (str, "2026-01-02"),
    (Any, "2026-01-02"),
]


def given(kind: Any, value: Any) -> Any:
    """What a task with one parameter of this type gets of JSON, by name and by position."""

    def task(value: Any) -> None: ...

    task.__annotations__ = {"value": kind, "return": None}
    (by_position,), _ = annotated(task, [value], {})
    _, by_name = annotated(task, [], {"value": value})
    assert by_position == by_name["value"]
    return by_position


@pytest.mark.parametrize(("kind", "value"), SAME, ids=str)
def test_a_value_comes_out_as_it_went_in(kind: Any, value: Any) -> None:
    got = given(kind, loads(dumps(to_json(value))))
    assert got == value
    assert type(got) is type(value)


def test_a_model_validates_its_json() -> None:
    assert given(Model, {"a": 1}).value == {"a": 1}


def test_numbers_are_decimals_too() -> None:
    assert (given(Decimal, 5), given(Decimal, 1.1)) == (Decimal(5), Decimal("1.1"))


@pytest.mark.parametrize(
    ("kind", "value", "place"),
    [
        (Decimal, "secret", "value can't be read as Decimal"),
        (Decimal, True, "value can't be read as Decimal"),
        (datetime, "yesterday", "value can't be read as datetime"),
        (bytes, "not base64!", "value can't be read as bytes"),
        (Colour, "blue", "value can't be read as Colour"),
        (Order, {"lines": [{"sku": "a", "price": "x"}], "colour": "red"}, "value.lines[0].price"),
        (Line, {"sku": "a"}, "value can't be read as Line"),
        (Line, "text", "value can't be read as Line"),
        (Model, "text", "value can't be read as Model"),
        (tuple[str, Decimal], ["a"], "value can't be read as tuple"),
        (dict[str, UUID], {"a": "b"}, "value.a can't be read as UUID"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place(kind: Any, value: Any, place: str) -> None:
    with pytest.raises(WorkflowError) as refused:
        given(kind, value)
    assert place in str(refused.value.detail)
    assert refused.value.status == 400
    assert "secret" not in str(refused.value.detail)


def test_tasks_without_usable_annotations_get_json() -> None:
    def unannotated(a, *rest, **more): ...

    def unresolved(a: NotImportedHere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    for task in (unannotated, unresolved):
        assert annotated(task, ["1.10", 2], {"b": "3"}) == (["1.10", 2], {"b": "3"})


def test_a_bound_task_does_not_count_itself() -> None:
    class Task:
        def run(self, amount: Decimal) -> None: ...

    assert annotated(Task().run, ["1.10"], {}) == ([Decimal("1.10")], {})


def test_nan_is_refused_and_said() -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(NotJson, match=r"which JSON cannot say, at \$\.price"):
            to_json({"price": value})
