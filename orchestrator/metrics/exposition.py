"""Formats metrics for Prometheus: its text format or OpenMetrics, as the request accepts.

Importing it raises `PartMissing` without the extra [metrics].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from orchestrator.extras import optional_imports

with optional_imports():
    from prometheus_client import CollectorRegistry
    from prometheus_client import Metric as Family
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector

from orchestrator.metrics.catalog import METRICS, Metric, MetricType
from orchestrator.metrics.meter import Labels, Series


def exposition_text(families: Iterable[Family], accept: str | None) -> tuple[bytes, str]:
    """Return the text and its media type for a scraper with this `Accept` header."""
    encode, content_type = choose_encoder(accept or "")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(list(families)))
    return encode(registry), content_type


def families(series: Iterable[Series]) -> Iterator[Family]:
    """Return the metrics; series with the same labels are added up."""
    sums: dict[str, dict[Labels, list[float]]] = {}
    for name, labels, numbers in series:
        of_metric = sums.setdefault(name, {})
        earlier = of_metric.get(labels)
        of_metric[labels] = (
            numbers if earlier is None else [a + b for a, b in zip(earlier, numbers, strict=True)]
        )
    for name, of_metric in sums.items():
        yield _family(METRICS[name], of_metric)


def _family(metric: Metric, series: dict[Labels, list[float]]) -> Family:
    if metric.kind is MetricType.COUNTER:
        counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, (value,) in series.items():
            counter.add_metric(labels, value)
        return counter
    histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*map(str, metric.buckets), "+Inf"]
    for labels, (*counts, total) in series.items():
        buckets = list(zip(bounds, accumulate(counts), strict=True))
        histogram.add_metric(labels, buckets, total)
    return histogram


class _Families(Collector):
    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families
