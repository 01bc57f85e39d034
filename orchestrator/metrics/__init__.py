"""Metrics: what a process counts, in its own memory, and how Prometheus reads it.

`catalog` is the table of all metrics; a `Meter` counts them in one process; `Meters` are the
meters of a worker's processes, in memory that they share; `exposition` writes them down.
Counting costs about a microsecond and asks nothing of anybody: no lock between processes, no
file, no connection. No id of an instance is ever a label.
"""

from orchestrator.metrics.catalog import Metric, MetricType
from orchestrator.metrics.meter import Meter, Series
from orchestrator.metrics.shared_memory import Meters

__all__ = ["Meter", "Meters", "Metric", "MetricType", "Series"]
