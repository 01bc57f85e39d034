"""JSON in and out."""

from __future__ import annotations

import enum
import sys
import time
import uuid
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from types import ModuleType
from typing import Any

import kombu.utils.json as kombu_json
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import json_codec
from orchestrator.json_codec import NotJson
from tests.support.examples import examples

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**80), 2**80),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"])),
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass(frozen=True)
class Item:
    name: str
    price: Decimal


Point = namedtuple("Point", "x y")  # noqa: PYI024 - what users have


@pytest.mark.examples
@settings(max_examples=examples(100), deadline=None)
@given(values)
def test_what_is_json_comes_back_the_same(value: Any) -> None:
    assert json_codec.loads(json_codec.dumps(value)) == value
    assert json_codec.to_json(value) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("-9999999999999999999", -9999999999999999999),
        ("18446744073709551616", 2**64),
        ('{"a": 9007199254740993}', {"a": 9007199254740993}),
        ('"\\u0000"', "\0"),
        ("0.1234567890123456789012", 0.1234567890123456789012),
        ('"12345678901234567890"', "12345678901234567890"),
    ],
)
def test_numbers_and_text_are_exact(text: str, value: Any) -> None:
    assert json_codec.loads(text) == value
    assert type(json_codec.loads(text)) is type(value)
    assert json_codec.loads(json_codec.encode(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nul",
        "NaN",
        "[NaN, 1234567890123456789012]",
        "Infinity",
        "1e999",
        "[1e999, 1234567890123456789012]",
        "1" * 100_000,
        '"\\ud800"',
        '["\\ud800", 1234567890123456789012]',
        '"\ud800"',
        b'"\xff"',
        "[" * 10_000,
        "[" * 10_000 + "]" * 10_000,
        "[" * 300 + "]" * 300,
        "[" * 300 + "1234567890123456789012" + "]" * 300,
        "[" * 5_000 + "1234567890123456789012" + "]" * 5_000,
    ],
)
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(NotJson):
        json_codec.loads(text)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"1" * 1001, int("1" * 1001)),
        (b"[" * 202 + b"]" * 202, None),
    ],
)
def test_only_requests_are_read_strictly(text: bytes, stored: Any) -> None:
    with pytest.raises(NotJson):
        json_codec.loads_strict(text)
    assert stored is None or json_codec.loads(text) == stored


@pytest.mark.parametrize("text", [b"NaN", b"-1e999", b'"\xff"', b"{", b"[" * 100_000])
def test_what_is_no_json_is_refused_in_requests(text: bytes) -> None:
    with pytest.raises(NotJson):
        json_codec.loads_strict(text)


@pytest.mark.parametrize(
    ("text", "payload", "pointer"),
    [
        (rb'{"a/b": ["\ud800"]}', True, "/a~1b/0"),
        (rb'{"a": {"input": "\u0000"}}', False, "/a/input"),
        (rb'{"input": {"b": "\u0000"}}', False, None),
        (rb'[{"data": "\u0000"}]', False, None),
        (rb'{"a": "\u0000"}', True, None),
    ],
)
def test_what_cannot_be_stored_is_refused(text: bytes, payload: bool, pointer: str | None) -> None:
    if pointer is None:
        assert json_codec.loads_strict(text, payload=payload)
        return
    with pytest.raises(json_codec.ForbiddenText) as refused:
        json_codec.loads_strict(text, payload=payload)
    assert refused.value.pointer == pointer


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (float("nan"), "$"),
        ({"a": [1, None, float("inf")]}, "$.a[2]"),
        ({"a b": {"c": -float("inf")}}, "$['a b'].c"),
        (["\ud800"], "$[0]"),
        ({"x": {"\udc80": 1}}, "$.x['\\udc80']"),
        ({"x": object()}, "$.x"),
        ({(1, 2): 1}, "$['(1, 2)']"),
        ({"x": {1, 2}}, "$.x"),
    ],
)
def test_a_refusal_names_the_place(value: Any, path: str) -> None:
    for function in (json_codec.encode, json_codec.to_json):
        with pytest.raises(NotJson) as caught:
            function(value)
        assert caught.value.path == path
        assert str(caught.value).endswith(path)


def test_a_refusal_names_the_type() -> None:
    with pytest.raises(NotJson, match=r"decimal\.Context.* at \$\.a\[0\]"):
        json_codec.to_json({"a": [__import__("decimal").Context()]})


def test_nesting_is_bounded_both_ways() -> None:
    value: Any = None
    for _ in range(json_codec.MAX_DEPTH):
        value = [value]
    assert json_codec.loads(json_codec.encode(value)) == value
    for function in (json_codec.encode, json_codec.to_json):
        with pytest.raises(NotJson, match="nested deeper"):
            function([[[[[value]]]]])
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(NotJson, match="nested deeper"):
        json_codec.to_json(itself)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("1.10"), "1.10"),
        (date(2026, 2, 3), "2026-02-03"),
        (datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC), "2026-02-03T04:05:06+00:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"\xff\x00", "/wA="),
        (bytearray(b"a"), "YQ=="),
        (Item("pen", Decimal("1.5")), {"name": "pen", "price": "1.5"}),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        ((1, (2, 3)), [1, [2, 3]]),
        (Point(1, 2), [1, 2]),
        (OrderedDict(a=Colour.RED), {"a": "red"}),
        ({1: "a", Colour.RED: "b"}, {"1": "a", "red": "b"}),
        (type("Text", (str,), {})("x"), "x"),
        (type("Real", (float,), {})(1.5), 1.5),
        (True, True),
        (None, None),
    ],
)
def test_what_tasks_return(value: Any, expected: Any) -> None:
    result = json_codec.to_json(value)
    assert result == expected
    assert type(result) is type(expected)
    assert json_codec.loads(json_codec.encode(result)) == expected


class Money:
    def __json__(self) -> Any:
        return {"amount": Decimal("1.10"), "of": Colour.RED}


class Itself:
    def __json__(self) -> Any:
        return [self]


class Broken:
    def __json__(self) -> Any:
        raise LookupError("gone")


class Lazy:
    """As ``gettext_lazy`` of Django makes them."""

    def __str__(self) -> str:
        return "Guten Tag"


class Marked(complex):
    pass


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which Django is loaded, and types are registered with kombu."""
    functional = ModuleType("django.utils.functional")
    functional.Promise = Lazy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "django.utils.functional", functional)
    known: Any = vars(kombu_json)["_encoders"]
    monkeypatch.setitem(known, Marked, ("marked", str))
    monkeypatch.setitem(known, complex, (None, lambda value: [value.real]))


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Money(), {"amount": "1.10", "of": "red"}),
        ({"a": [Lazy()]}, {"a": ["Guten Tag"]}),
        ([2 + 1j], [[2.0]]),
        (Marked(1), "(1+0j)"),
        ({True: 1, None: 2, 1.5: 3, 7: 4}, {"true": 1, "null": 2, "1.5": 3, "7": 4}),
        ({Colour.RED: 1, Level.HIGH: 2, uuid.UUID(int=1): 3},
         {"red": 1, "3": 2, "00000000-0000-0000-0000-000000000001": 3}),
    ],
)  # fmt: skip
def test_what_celery_takes_is_taken(value: Any, expected: Any) -> None:
    assert json_codec.to_json(value) == expected


@pytest.mark.parametrize(
    ("value", "message", "kind"),
    [
        (Itself(), "nested deeper", "test_codec.Itself"),
        (Broken(), "__json__ failed", "test_codec.Broken"),
        (object(), "cannot pass as JSON", "object"),
        (Money, "cannot pass as JSON", "type"),
        (float("nan"), "JSON cannot say", "float"),
        ("\ud800", "surrogate", "str"),
    ],
)
def test_a_refusal_names_type_and_place(value: Any, message: str, kind: str) -> None:
    with pytest.raises(NotJson, match=message) as caught:
        json_codec.to_json({"a": [value]})
    assert (caught.value.path or "").startswith("$.a[0]")
    assert (caught.value.kind or "").endswith(kind)


def test_plain_values_are_quick() -> None:
    """A bound so wide that only a change of the kind of work breaks it."""
    value = {
        "items": [{"id": i, "name": "x" * 20, "price": 1.5, "note": None} for i in range(1000)]
    }
    start = time.process_time()
    json_codec.to_json(value)
    json_codec.loads(json_codec.encode(value))
    assert time.process_time() - start < 0.5
