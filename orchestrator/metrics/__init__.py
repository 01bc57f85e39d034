"""Metrics: what a process counts, in its own memory, and how Prometheus reads it.

`catalog` is the table of all metrics; a `Meter` counts them in one process; `Meters` are the
meters of a worker's processes, in memory that they share; `exposition` writes them down.
Counting costs about a microsecond and asks nothing of anybody: no lock between processes, no
file, no connection. No id of an instance is ever a label.
"""

from orchestrator.metrics.catalog import Kind, Metric
from orchestrator.metrics.meter import Meter, Series
from orchestrator.metrics.shared import Meters

__all__ = ["Kind", "Meter", "Meters", "Metric", "Series"]
