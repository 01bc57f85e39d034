"""What Postgres says of the whole, as gauges: asked at most every few seconds, by one at a time.

Every API says the same; a query over several takes the maximum (``max by (queue)``).
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

#: Seconds for which an answer is good: several scrapers ask the database once.
CACHE_TIME = 5.0


class Gauges:
    """The latest answer of the database, and when it came. `lease` in seconds."""

    def __init__(self, database: Database, lease: float) -> None:
        self._database = database
        self._lease = lease
        self._found: list[gauge_queries.Gauge] = []
        self._until = 0.0
        self._lock = threading.Lock()

    def families(self) -> Iterator[Family]:
        """The gauges. Where Postgres is away, only that: old numbers would pass for new."""
        from prometheus_client.core import GaugeMetricFamily

        with self._lock:
            if clock.monotonic() > self._until:
                self._found = self._asked()
                self._until = clock.monotonic() + CACHE_TIME
            found = self._found
        for gauge in found:
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            for labels, value in gauge.values:
                family.add_metric(labels, value)
            yield family
        up = GaugeMetricFamily("orchestrator_database_up", "Whether Postgres answers.")
        up.add_metric((), bool(found))
        yield up

    def _asked(self) -> list[gauge_queries.Gauge]:
        try:
            return gauge_queries.read(self._database, self._lease)
        except DatabaseUnavailable as error:
            log.warning("No gauges: Postgres is away", action="no_gauges", error=str(error))
            return []
