"""Counting in a process's memory: exact, bounded, readable by another process, cheap."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.metrics import Meter, Meters
from orchestrator.metrics import catalog as metrics
from orchestrator.metrics.exposition import exposition_text, families
from orchestrator.metrics.meter import OVERFLOW

DONE = ("shop", "order", "completed")


def samples(series) -> dict[tuple[str, tuple[str, ...]], float]:
    """What a scraper reads: values by name and the labels' values, those sorted by name."""
    text, _ = exposition_text(families(series), None)
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_what_was_counted_is_what_is_scraped():
    meter = Meter()
    meter.count(metrics.STEPS_ENDED, DONE)
    meter.count(metrics.STEPS_ENDED, DONE, 2)
    for seconds in (0.0005, 0.001, 0.3, 1000.0):
        meter.observe(metrics.TRANSITION_SECONDS, seconds, ("result",))
    found = samples(meter.read())
    assert found["orchestrator_steps_ended_total", ("shop", "completed", "order")] == 3
    name = "orchestrator_transition_duration_seconds"
    # A bound belongs to its bucket: le is "less or equal".
    assert found[f"{name}_bucket", ("0.001", "result")] == 2
    assert found[f"{name}_bucket", ("0.25", "result")] == 2
    assert found[f"{name}_bucket", ("0.5", "result")] == 3
    assert found[f"{name}_bucket", ("+Inf", "result")] == 4
    assert found[f"{name}_count", ("result",)] == 4
    assert found[f"{name}_sum", ("result",)] == pytest.approx(1000.3015)


def test_a_child_counts_where_its_parent_reads_and_its_successor_goes_on():
    meters = Meters(8)
    meters.meter(7).count(metrics.STEPS_ENDED, DONE)
    for number in range(3):  # each dies without a word; the next takes its place
        pid = os.fork()
        if not pid:
            meter = meters.meter(2)
            meter.count(metrics.STEPS_ENDED, DONE)
            meter.count(metrics.MESSAGES_AND_RESULTS_REFUSED, ("stale",))
            meter.count(metrics.STEPS_STARTED, ("shop", f"only-{number}"))  # new to this one
            os.kill(os.getpid(), 9)
        os.waitpid(pid, 0)
    found = samples(meters.read())
    assert found["orchestrator_steps_ended_total", ("shop", "completed", "order")] == 4
    assert found["orchestrator_messages_and_results_refused_total", ("stale",)] == 3
    for number in range(3):
        assert found["orchestrator_steps_started_total", ("shop", f"only-{number}")] == 1
    assert len(list(meters.read())) == 6  # of the dead, what they counted and nothing else


def test_a_process_beyond_the_slots_counts_for_itself():
    meters = Meters(1)
    meters.meter(1).count(metrics.LEASES_EXPIRED)
    assert list(meters.read()) == []


def test_threads_lose_no_count():
    meter = Meter()

    def count():
        for _ in range(2000):
            meter.count(metrics.STEPS_STARTED, ("shop", "order"))
            meter.observe(metrics.TRANSITION_SECONDS, 0.1, ("inbox",))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = samples(meter.read())
    assert found["orchestrator_steps_started_total", ("shop", "order")] == 8000
    assert found["orchestrator_transition_duration_seconds_count", ("inbox",)] == 8000


def test_too_many_names_are_counted_as_others():
    meter = Meter()
    for number in range(5000):
        meter.count(metrics.STEPS_ENDED, ("shop", f"order-{number}", "completed"))
        meter.observe(metrics.ATTEMPT_SECONDS, 0.1, (f"task-{number}",))
    found = samples(meter.read())
    ended = {
        key: value for key, value in found.items() if key[0] == "orchestrator_steps_ended_total"
    }
    assert sum(ended.values()) == 5000
    assert ended["orchestrator_steps_ended_total", (OVERFLOW, OVERFLOW, OVERFLOW)] > 0
    counts = [
        v for (name, _), v in found.items() if name.endswith("attempt_duration_seconds_count")
    ]
    assert sum(counts) == 5000
    # Every metric still has room for its others.
    for metric in metrics.METRICS.values():
        meter.count(metric, ("new",) * len(metric.labels))


def test_no_label_can_hold_an_instance():
    names = {label for metric in metrics.METRICS.values() for label in metric.labels}
    assert names <= {
        *("namespace", "workflow", "status", "outcome", "queue", "delivery", "source", "task"),
        *("state", "reason", "kind", "maintenance_job", "method", "route"),
    }
    assert all(name.startswith("orchestrator_") for name in metrics.METRICS)
    assert all(not name.endswith("_total") for name in metrics.METRICS)
    assert all(name.endswith("_seconds") for name, m in metrics.METRICS.items() if m.buckets)


def test_a_count_costs_no_more_with_what_was_counted():
    """A step counts about eight things; a count must not grow with how many there were."""

    def cost(meter: Meter) -> float:
        best = 1.0
        for _ in range(30):
            began = time.perf_counter()
            for _ in range(200):
                meter.count(metrics.STEPS_ENDED, DONE)
            best = min(best, (time.perf_counter() - began) / 200)
        return best

    fresh, used = Meter(), Meter()
    for number in range(500):
        used.count(metrics.STEPS_ENDED, ("shop", f"order-{number}", "completed"))
    first, later = cost(fresh), cost(used)
    print(f"one count: {first * 1e6:.2f} us, among 500 series {later * 1e6:.2f} us")
    assert later < 10 * first


def test_the_page_is_up_to_date():
    from tests.support.metrics_page import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.support.metrics_page"


@pytest.mark.parametrize("file", ["deploy/prometheus/alerts.yml", "docs/operations/monitoring.md"])
def test_what_is_watched_is_there(file: str) -> None:
    from tests.support.metrics_page import names

    text = (Path(__file__).parents[2] / file).read_text(encoding="utf-8")
    used = set(re.findall(r"\borchestrator_[a-z_]+", text))
    assert used
    assert not used - names()


def test_every_alert_is_in_the_runbook() -> None:
    root = Path(__file__).parents[2]
    alerts = (root / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")
    runbook = (root / "docs/operations/runbook.md").read_text(encoding="utf-8")
    for name in re.findall(r"alert: (\w+)", alerts):
        assert f"`{name}`" in runbook, name
