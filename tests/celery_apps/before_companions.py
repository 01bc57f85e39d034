"""The zoo's app as an earlier release: steps in the users' queues, by the names of their tasks."""

from __future__ import annotations

from typing import Any

from orchestrator.execution.worker.companion_consumer import CompanionConsumer
from orchestrator.task_dispatcher import Message, TaskDispatcher


def _ignore(*_: Any) -> None:
    """Consume no companion."""


def _unchanged(_: TaskDispatcher, message: Message) -> tuple[str, str]:
    return message.task, message.queue


setattr(CompanionConsumer, "start", _ignore)  # noqa: B010
setattr(TaskDispatcher, "_at_broker", _unchanged)  # noqa: B010

from tests.celery_apps.every_task_kind.app import app  # noqa: E402, F401
