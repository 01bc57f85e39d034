"""The latest report of the doctor. One thread makes it, for all callers of a process.

An examination reads whole tables and waits for the answers of workers, so that consoles that ask
again and again must not cause one each.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

from orchestrator import clock
from orchestrator.bootstrap import Services
from orchestrator.doctor.examination import MIN_AGE, Examination
from orchestrator.doctor.finding import Finding
from orchestrator.doctor.server_checks import findings_of, server_checks

#: Seconds for which a report is served at least.
CACHE_TIME = 10.0
#: A report is served for this many times the seconds that it took, where that is longer.
_SHARE = 20.0


@dataclass(frozen=True)
class Report:
    """The findings of one examination. `of_data`: the checks that are about the data of some
    namespace."""

    checked_at: datetime
    findings: tuple[Finding, ...]
    of_data: frozenset[str]


class DoctorReports:
    """Examines the installation of some services."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._latest: Report | None = None
        self._until = 0.0
        self._lock = threading.Lock()

    def latest(self) -> Report:
        """Return the latest report, of a new examination if it is too old.

        While another thread examines, the report before is returned at once. Raises
        `DatabaseUnavailable`.
        """
        old = self._latest
        if not self._lock.acquire(blocking=old is None):
            assert old is not None  # noqa: S101  otherwise the lock was waited for
            return old
        try:
            if self._latest is None or clock.monotonic() > self._until:
                self._latest = self._examine()
            return self._latest
        finally:
            self._lock.release()

    def _examine(self) -> Report:
        # Import the checks at the first report: they need SQLAlchemy, which serving requests does
        # not.
        from orchestrator.doctor.inconsistencies import KINDS
        from orchestrator.doctor.report import report

        begun = clock.monotonic()
        findings = list(findings_of(server_checks(self._services.settings)))
        if all(each.state == "ok" for each in findings if each.check == "database"):
            broker = all(each.state == "ok" for each in findings)
            examination = Examination(
                self._services, self._services.dispatcher.app, MIN_AGE, broker
            )
            findings += report(examination)
        ended = clock.monotonic()
        self._until = ended + max(CACHE_TIME, _SHARE * (ended - begun))
        return Report(clock.now(), tuple(findings), frozenset(kind.name for kind in KINDS))
