"""Small documents for tests of the core."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]


def doc(*tasks: Body, **more: Any) -> Body:
    """A document of these tasks: ``doc({"a": {...}}, use={...})``."""
    about = {"dsl": "1.0.3", "namespace": "test", "name": "flow", "version": "1.0.0"}
    about.update(more.pop("about", {}))
    return {"document": about, "do": list(tasks), **more}


def call(name: str, undo: str | None = None, /, **metadata: Any) -> Body:
    """A call of a Celery task, with its compensation if it has one."""
    body: Body = {"call": name}
    if undo is not None:
        metadata["compensate"] = {"call": undo}
    return {**body, "metadata": metadata} if metadata else body


def boom(status: int = 500, kind: str = "runtime") -> Body:
    """A task that raises an error."""
    type = f"https://serverlessworkflow.io/spec/1.0.0/errors/{kind}"
    return {"raise": {"error": {"type": type, "status": status, "title": "Boom"}}}
