"""Advice for keys that exist in the language but are misplaced."""

from __future__ import annotations

from collections.abc import Container, Mapping

from orchestrator.document.dsl_schema.metadata_extensions import DOCUMENT, SCHEDULE, TASK


def where_it_belongs(key: str, pointer: str, task: Container[str] | None) -> str | None:
    """Return where a misplaced key belongs, or None if the key is unknown. `pointer` is that of its
    mapping; `task` are the keys of the task, None outside a task."""
    if pointer == "/document" and key in DOCUMENT:
        return ": it belongs under 'metadata' of the 'document'"
    if pointer == "/schedule" and key in SCHEDULE:
        return ": it belongs under 'schedule' in the 'metadata' of the 'document'"
    if task is None:
        return None
    if key in TASK and key != "concurrency":
        return ": it belongs under 'metadata' of the task"
    if key == "concurrency":
        return ": it belongs under 'metadata' of a 'for'"
    if key in _ARGUMENTS and "call" in task:
        return _argument_advice(key)
    return _ELSEWHERE.get(key)


def _argument_advice(key: str) -> str:
    if key in ("args", "kwargs"):
        return (
            ": 'with' has the keyword arguments of a task itself; only 'call: celery' takes"
            f" '{key}' under 'with'"
        )
    return ": it belongs under 'with'"


#: Keys that other languages have in a task, and their place in this one.
_ELSEWHERE: Mapping[str, str] = {
    "retry": ": it belongs under 'catch' of a 'try'",
    "retries": ": use a 'try' with 'retry' under its 'catch'",
    "catch": ": it belongs beside 'try', which contains the tasks that may fail",
    "onError": ": a 'try' with a 'catch' handles errors",
    "errors": ": it belongs under 'catch' of a 'try'",
    "when": ": the condition of a task is its 'if'",
    "condition": ": the condition of a task is its 'if'",
    "next": ": 'then' names the next task",
    "foreach": ": it goes with 'listen'; a loop is a 'for'",
    "until": ": it belongs under 'to' of a 'listen'",
    "to": ": it belongs under 'listen'",
    "in": ": it belongs under 'for'",
    "branches": ": it belongs under 'fork'",
}

#: Arguments of calls that authors also write beside `with`.
_ARGUMENTS = frozenset(
    {
        "args", "arguments", "body", "endpoint", "headers", "kwargs", "method", "operationId",
        "parameters", "params", "query", "task", "url",
    }
)  # fmt: skip
