"""Metrics: each process counts in its own memory, and Prometheus reads it.

`catalog` is the table of all metrics. A `Meter` counts them in one process; `Meters` are the
meters of a worker's processes, in shared memory. `exposition` formats them for Prometheus.
Counting costs about a microsecond: it needs no lock between processes, no file and no connection.
An instance's id is never a label.
"""

from orchestrator.metrics.catalog import Metric, MetricType
from orchestrator.metrics.meter import Meter, Series
from orchestrator.metrics.shared_memory import Meters

__all__ = ["Meter", "Meters", "Metric", "MetricType", "Series"]
