"""Checks of what an installation needs, each with advice."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any

from orchestrator.cli.options import Shared
from orchestrator.cli.server.database_commands import reaching_postgres
from orchestrator.client import ApiError, Unreachable
from orchestrator.client.transport import Transport
from orchestrator.errors import BrokerUnavailable, OrchestratorError
from orchestrator.settings import Settings


@dataclass(frozen=True)
class Finding:
    """The result of one check. `state` is ``ok``, ``note`` (worth knowing, not wrong by itself),
    ``failed`` (a needed part is missing), ``inconsistent``, ``repaired`` or ``unrepaired``."""

    check: str
    found: str
    advice: str | None = None
    state: str = "ok"
    instance: str | None = None
    step: int | None = None


_UPGRADE = "orchestrator db upgrade, of the newest release that any process here has."


class CheckFailed(Exception):
    """A check that failed, with its finding and advice."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.finding = (found, advice)


def check_installation(shared: Shared, settings: Settings) -> Iterator[Finding]:
    """Check versions, database, broker, API and tasks."""
    checks: dict[str, Callable[[], str]] = {
        "versions": _versions,
        "database": lambda: _database(settings),
        "broker": lambda: _broker(settings),
        "API": lambda: _api(shared, settings),
        "tasks": lambda: _tasks(settings),
    }
    return _findings(checks)


def _findings(checks: dict[str, Callable[[], str]]) -> Iterator[Finding]:
    for name, check in checks.items():
        try:
            yield Finding(name, check())
        except CheckFailed as failure:
            yield Finding(name, *failure.finding, "failed")


def _versions() -> str:
    names = ("celery-orchestrator", "celery", "kombu", "SQLAlchemy", "jq")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"Python {platform.python_version()}, {versions}"


def _database(settings: Settings) -> str:
    from orchestrator.database.schema import upgrade

    try:
        with reaching_postgres():
            found = upgrade.current(settings.direct_url)
            upgrade.check(settings.database_url)
    except upgrade.UnknownSchema as error:
        raise CheckFailed(str(error), _UPGRADE) from error
    except OrchestratorError as error:
        first = str(error).splitlines()[0]
        raise CheckFailed(
            first, "Set ORCHESTRATOR_DATABASE_URL, or start orchestrator dev."
        ) from error
    return f"schema {found}"


def _broker(settings: Settings) -> str:
    from orchestrator.broker_settings import reach

    try:
        return reach(settings.broker_url, timeout=3.0)
    except BrokerUnavailable as error:
        advice = "Set ORCHESTRATOR_BROKER_URL. Meanwhile the API accepts starts, which wait."
        raise CheckFailed(str(error), advice) from error


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
