"""A workflow in code from a document: its tasks become `Task`, all else stays JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.document.model import KINDS
from orchestrator.dsl.document_task import Task

Json = Any

#: Members that contain a list of tasks.
_LISTS = frozenset({"do", "try", "branches", "before", "after"})


def tasks_of(items: list[Json]) -> list[Task]:
    """Return a `do` of a document as tasks."""
    return [_task(name, body) for item in items for name, body in item.items()]


def workflow_body(document: Mapping[str, Json]) -> dict[str, Json]:
    """Return a document in which tasks are `Task`."""
    body = {name: _inner(name, value) for name, value in document.items()}
    use = body.get("use")
    if isinstance(use, dict) and isinstance(use.get("functions"), dict):
        functions = {name: _task(name, each) for name, each in use["functions"].items()}
        body["use"] = {**use, "functions": functions}
    return body


def _task(name: str, body: Mapping[str, Json]) -> Task:
    word = next((kind for kind in KINDS if kind in body), "task")
    return Task(word, {key: _inner(key, value) for key, value in body.items()}, name=name)


def _inner(name: str, value: Json) -> Json:
    if name in ("set", "input", "output", "export", "document") or name == "metadata":
        return _metadata(value) if name == "metadata" else value
    if isinstance(value, list):
        if name in _LISTS and all(_is_entry(item) for item in value):
            return tasks_of(value)
        return [_inner("", item) for item in value]
    if isinstance(value, dict):
        return {key: _inner(key, item) for key, item in value.items()}
    return value


def _metadata(value: Json) -> Json:
    if isinstance(value, dict) and isinstance(value.get("compensate"), dict):
        undo = value["compensate"]
        return {**value, "compensate": _task("compensate", undo)}
    return value


def _is_entry(item: Json) -> bool:
    return isinstance(item, dict) and len(item) == 1 and isinstance(next(iter(item.values())), dict)
