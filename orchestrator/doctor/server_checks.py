"""Checks of the servers that every process needs: Postgres and the broker."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

from orchestrator.broker_settings import reach
from orchestrator.database.schema import upgrade
from orchestrator.doctor.finding import Finding
from orchestrator.errors import BrokerUnavailable, OrchestratorError
from orchestrator.settings import Settings

#: How long the broker may take to answer, in seconds.
_BROKER_TIMEOUT = 3.0
_UPGRADE = "orchestrator db upgrade, of the newest release that any process here has."


class CheckFailed(Exception):
    """A check that failed, with its finding and advice."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.finding = (found, advice)


def server_checks(settings: Settings) -> dict[str, Callable[[], str]]:
    """Return the checks by name. Each returns what it found, or raises `CheckFailed`."""
    return {
        "versions": _versions,
        "database": lambda: _database(settings),
        "broker": lambda: _broker(settings),
    }


def findings_of(checks: Mapping[str, Callable[[], str]]) -> Iterator[Finding]:
    """Run checks, and yield a finding for each."""
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
    try:
        upgrade.check(settings.database_url)
        found = upgrade.version_at(settings.direct_url)
    except upgrade.UnknownSchema as error:
        raise CheckFailed(str(error), _UPGRADE) from error
    except OrchestratorError as error:
        first = str(error).splitlines()[0]
        raise CheckFailed(
            first, "Set ORCHESTRATOR_DATABASE_URL, or start orchestrator dev."
        ) from error
    return f"schema {found}"


def _broker(settings: Settings) -> str:
    try:
        return reach(settings.broker_url, timeout=_BROKER_TIMEOUT)
    except BrokerUnavailable as error:
        advice = "Set ORCHESTRATOR_BROKER_URL. Meanwhile the API accepts starts, which wait."
        raise CheckFailed(str(error), advice) from error
