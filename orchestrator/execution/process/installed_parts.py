"""Checks at the start of a worker or a beat that the libraries are there that its work needs.

A missing one would show late otherwise: in each step of a worker that has announced itself.
"""

from __future__ import annotations

from orchestrator.errors import ConfigurationError
from orchestrator.extras import is_installed, require_installed
from orchestrator.settings import Settings

_NO_JQ = "jq is not installed; the expressions of workflows are evaluated with it: pip install jq"


def require_parts(settings: Settings) -> None:
    """Look for the libraries of these settings, without importing them.

    Raises:
        ConfigurationError: one is not installed; the text says how to install it.
    """
    require_installed("psycopg2")
    # Look for the library jq at the start. Only the child process of the sandbox imports it, so
    # this process would not notice its absence.
    if not is_installed("jq"):
        raise ConfigurationError(_NO_JQ)
    if settings.secrets_key:
        require_installed("cryptography")
