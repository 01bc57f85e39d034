"""What a workflow in code can do wrong."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class BuildError(OrchestratorError, TypeError):
    """A workflow in code is wrong. The message begins with the file and the line of the code."""
