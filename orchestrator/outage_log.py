"""Logs an outage in two lines: one when it begins, one when it is over; in between a summary.

Each process counts for itself. A service that every step needs fails hundreds of times in an
outage, and each failure is the same news.
"""

from __future__ import annotations

from typing import Any

from orchestrator.clock import monotonic
from orchestrator.log import get_logger

log = get_logger(__name__)

#: Seconds between two summaries of an outage that lasts.
SUMMARY_INTERVAL = 60.0


class OutageLog:
    """The outages of one service, as one process sees them.

    Threads share it without a lock, which a fork could copy while it is held: a race writes one
    line too many.
    """

    def __init__(self, service: str) -> None:
        #: Where the service is, without a password; an error does not always say.
        self.address: str | None = None
        self._service = service
        self._began: float | None = None
        self._failures = 0
        self._summary_at = 0.0

    def failed(self, error: object, **fields: Any) -> None:
        """Record a failed call; the first of an outage is logged with its error and `fields`."""
        now, began = monotonic(), self._began
        self._failures += 1
        if began is None:
            self._began, self._failures, self._summary_at = now, 1, now + SUMMARY_INTERVAL
            event = f"{self._service} is unavailable; trying again"
            log.warning(
                event,
                action="outage_began",
                error=str(error) or repr(error),
                **({"address": self.address} if self.address else {}),
                **fields,
            )
        elif now >= self._summary_at:
            self._summary_at = now + SUMMARY_INTERVAL
            self._summarize("is still unavailable", "outage_goes_on", now - began, error=str(error))

    def answered(self) -> None:
        """Record a successful call. The first one after an outage is logged."""
        began = self._began
        if began is None:
            return
        self._began = None
        self._summarize("is available again", "outage_ended", monotonic() - began)

    def _summarize(self, state: str, action: str, seconds: float, **fields: Any) -> None:
        event = f"{self._service} {state}"
        log.warning(
            event,
            action=action,
            seconds=round(seconds, 1),
            failures=self._failures,
            **fields,
        )


#: The services that workers and beats wait for.
POSTGRES = OutageLog("Postgres")
EVALUATOR = OutageLog("The expression evaluator")
BROKER = OutageLog("The broker")
