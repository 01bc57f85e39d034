"""Checks of what an installation needs, each with advice."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from orchestrator.cli.options import Shared
from orchestrator.client import ApiError, Unreachable
from orchestrator.client.synchronous.transport import Transport
from orchestrator.doctor.finding import Finding
from orchestrator.doctor.server_checks import CheckFailed, findings_of, server_checks
from orchestrator.settings import Settings


def check_installation(shared: Shared, settings: Settings) -> Iterator[Finding]:
    """Check versions, database, broker, API and tasks."""
    checks = {
        **server_checks(settings),
        "API": lambda: _api(shared, settings),
        "tasks": lambda: _tasks(settings),
    }
    return findings_of(checks)


def _api(shared: Shared, settings: Settings) -> str:
    url = shared.url or settings.api_url
    transport = Transport(url, shared.key or settings.api_key, pauses=())
    try:
        state: dict[str, Any] = transport.request("GET", "/readyz").json()
    except Unreachable as error:
        advice = "Start orchestrator api, or set ORCHESTRATOR_API_URL."
        raise CheckFailed(str(error), advice) from error
    except ApiError as error:
        raise CheckFailed(str(error), "The log of the API says why it is not ready.") from error
    finally:
        transport.close()
    return f"{url}: {state.get('status')}"


def _tasks(settings: Settings) -> str:
    sys.path.insert(0, "")  # users' tasks are in the working directory
    for module in settings.imports:
        try:
            import_module(module)
        except Exception as error:
            found = f"{module}: {type(error).__name__}: {error}"
            raise CheckFailed(found, "Correct ORCHESTRATOR_IMPORTS, or the module.") from error
    return ", ".join(settings.imports) or "none named in ORCHESTRATOR_IMPORTS"
