"""Errors of durable canvases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import OrchestratorError


class CanvasRefused(OrchestratorError):
    """The canvas contains something that has no durable form; the text says what and where."""


class WorkflowFaulted(OrchestratorError):
    """An instance faulted, and the exception of its task can't be built here.

    `id` is the instance; `error` is the error of the DSL: ``{type, status, title?, detail?,
    instance?, data?}``.
    """

    def __init__(self, id: str, error: Mapping[str, Any]) -> None:
        parts = [str(error[name]) for name in ("title", "detail") if error.get(name)]
        super().__init__(": ".join(parts) or f"instance {id} faulted")
        self.id = id
        self.error = dict(error)
