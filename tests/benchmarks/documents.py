"""The workflows that are measured."""

from __future__ import annotations

from typing import Any


def _document(name: str, tasks: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
    head = {"dsl": "1.0.3", "namespace": "bench", "name": name, "version": "1.0.0"}
    return {"document": head, "do": tasks, **members}


def _calls(count: int, task: str = "bench.noop", **with_: Any) -> list[dict[str, Any]]:
    body = {"call": task, **({"with": with_} if with_ else {})}
    return [{f"step{number}": body} for number in range(count)]


def sequence(steps: int) -> dict[str, Any]:
    """`steps` no-op steps, one after the other."""
    return _document(f"sequence-{steps}", _calls(steps))


def fork(width: int) -> dict[str, Any]:
    """`width` no-op steps side by side, and their join."""
    branches = _calls(width)
    return _document(f"fork-{width}", [{"all": {"fork": {"branches": branches}}}])


def loop(task: str = "bench.noop") -> dict[str, Any]:
    """One step for each item of the input's `items`."""
    each = {"for": {"each": "item", "in": "${ .items }"}, "do": _calls(1, task)}
    return _document("loop", [{"each": {**each, "input": {}}}])


def payload(steps: int = 5) -> dict[str, Any]:
    """Steps that hand the same value on."""
    return _document("payload", _calls(steps, "bench.echo", value="${ . }"))


def naps(steps: int, seconds: float) -> dict[str, Any]:
    """Steps that sleep."""
    return _document("naps", _calls(steps, "bench.nap", seconds=seconds))
