"""Gives the messages of steps the names of the users' tasks, before Celery looks at them."""

from __future__ import annotations

from typing import Any

from orchestrator.message_names import HEADER, STEP


def restore_task_names(consumer: Any) -> None:
    """Let a consumer's message handlers see the user's task name instead of ours."""
    create = consumer.create_task_handler
    if getattr(create, "restores_names", False):
        return

    def create_task_handler(*args: Any, **kwargs: Any) -> Any:
        handler = create(*args, **kwargs)

        def on_message(message: Any) -> Any:
            restore_task_name(message.headers)
            return handler(message)

        return on_message

    create_task_handler.restores_names = True  # type: ignore[attr-defined]
    consumer.create_task_handler = create_task_handler


def restore_task_name(headers: Any) -> None:
    """Replace our task name in a message's headers by the user's. Headers of another form keep
    theirs, and Celery refuses them as an unknown task."""
    if not isinstance(headers, dict) or headers.get("task") != STEP:
        return
    ours = headers.get(HEADER)
    name = ours.get("task") if isinstance(ours, dict) else None
    if isinstance(name, str):
        headers["task"] = name
