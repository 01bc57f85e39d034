"""Gauges that are read from Postgres, by one thread at a time and at most every few seconds.

Each API process shows the same values; a query over several takes the maximum
(``max by (queue)``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator import clock
from orchestrator.database.connection.database import Database
from orchestrator.database.operations import gauge_queries
from orchestrator.errors import DatabaseUnavailable
from orchestrator.log import get_logger

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

log = get_logger(__name__)

#: Seconds for which the values are cached, so that several scrapers cost one query.
CACHE_TIME = 5.0


class Gauges:
    """Cached gauges of the database. `lease` in seconds."""

    def __init__(self, database: Database, lease: float) -> None:
        self._database = database
        self._lease = lease
        self._cached: list[gauge_queries.Gauge] = []
        self._until = 0.0
        self._lock = threading.Lock()

    def families(self) -> Iterator[Family]:
        """Yield the gauges. Without Postgres there is only `orchestrator_database_up`: old values
        would be taken for current ones."""
        from prometheus_client.core import GaugeMetricFamily

        with self._lock:
            if clock.monotonic() > self._until:
                self._cached = self._read()
                self._until = clock.monotonic() + CACHE_TIME
            gauges = self._cached
        for gauge in gauges:
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            for labels, value in gauge.values:
                family.add_metric(labels, value)
            yield family
        up = GaugeMetricFamily("orchestrator_database_up", "Whether Postgres answers.")
        up.add_metric((), bool(gauges))
        yield up

    def _read(self) -> list[gauge_queries.Gauge]:
        try:
            return gauge_queries.read(self._database, self._lease)
        except DatabaseUnavailable as error:
            log.warning(
                "No gauges: Postgres cannot be reached",
                action="gauges_unavailable",
                error=str(error),
            )
            return []
