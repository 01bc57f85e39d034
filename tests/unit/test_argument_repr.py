"""The displayed texts of a step's arguments: useful, bounded, and without secrets."""

from __future__ import annotations

import ast

import pytest

from orchestrator.argument_repr import MAX_LENGTH, arguments_repr


@pytest.mark.parametrize(
    ("call", "args", "kwargs"),
    [
        ({"kind": "celery", "task": "t", "args": [1, "a"], "kwargs": {}}, "[1, 'a']", "{}"),
        ({"kind": "celery", "task": "t", "args": [], "kwargs": {"a": None}}, "[]", "{'a': None}"),
        (
            {"kind": "celery", "deferred": True, "with": {"card": "${ $secrets.card }"}},
            "[]",
            "{'card': '${ $secrets.card }'}",
        ),
        (
            {
                "kind": "celery",
                "deferred": True,
                "explicit": True,
                "with": {"task": "t", "args": ["${ $secrets.card }"]},
            },
            "['${ $secrets.card }']",
            "{}",
        ),
        (
            {
                "kind": "http",
                "with": {
                    "method": "get",
                    "endpoint": {
                        "uri": "https://me:pass@example.com:8443/orders?token=x",
                        "authentication": {"basic": {"username": "me", "password": "pass"}},
                    },
                    "headers": {"Authorization": "Bearer x"},
                },
            },
            "[]",
            "{'call': 'http', 'method': 'get', 'endpoint': 'https://example.com:8443/orders'}",
        ),
        ({"kind": "http", "with": {"endpoint": "http://[::"}}, "[]", None),
        ({"kind": "openapi", "with": "${ .all }"}, "[]", "{'call': 'openapi'}"),
    ],
)
def test_displayed(call: dict, args: str, kwargs: str | None) -> None:
    found = arguments_repr(call)
    assert found[0] == args
    if kwargs is not None:
        assert found[1] == kwargs


@pytest.mark.parametrize(
    "kwargs",
    [
        {"order": "o-1", "amount": 12.5, "express": True, "note": None},
        {"note": 'it\'s\n"quoted"'},
        {"lines": [{"sku": "a"}], "n": 1},
        {"text": "x" * MAX_LENGTH},
        {str(n): n for n in range(200)},
    ],
    ids=["scalars", "quotes", "nested", "long", "many"],
)
def test_it_is_python_s_notation_as_far_as_it_goes(kwargs: dict) -> None:
    found = arguments_repr({"kind": "celery", "kwargs": kwargs})[1]
    assert len(found) < 2 * MAX_LENGTH
    if "..." not in found:
        assert ast.literal_eval(found) == kwargs


def test_it_is_bounded() -> None:
    args, kwargs = arguments_repr(
        {"kind": "celery", "args": list(range(100_000)), "kwargs": {"text": "x" * 1_000_000}}
    )
    assert len(args) < 2 * MAX_LENGTH
    assert len(kwargs) < 2 * MAX_LENGTH
