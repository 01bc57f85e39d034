"""The metrics of the State Manager: claims, transitions and their facts."""

from __future__ import annotations

from datetime import datetime

from orchestrator.core.model import Attempt, Fact
from orchestrator.document.model import Workflow
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics
from orchestrator.metrics.meter import OVERFLOW, Labels
from orchestrator.state_manager.transition_runner import CommittedTransition

#: The facts that end an instance.
_ENDS = frozenset({"workflow.completed", "workflow.faulted", "workflow.cancelled"})


def count_claim(meter: Meter, attempt: Attempt, queue: str, now: datetime, delivery: str) -> None:
    """Count an attempt that was claimed at the database's time `now`, and the time since it was
    created. `delivery`: ``message`` or ``continued``."""
    created = int(attempt.id[:8] + attempt.id[9:13], 16) / 1000  # a UUIDv7 begins with its time
    seconds = max(now.timestamp() - created, 0.0)
    meter.observe(metrics.DISPATCH_SECONDS, seconds, (queue, delivery))


def count_transition(
    meter: Meter, saved: CommittedTransition, workflow: Workflow, source: str, seconds: float
) -> None:
    """Count a committed transition that took `seconds`. `source`: ``result``, ``inbox`` or
    ``command``."""
    meter.observe(metrics.TRANSITION_SECONDS, seconds, (source,))
    labels = (workflow.namespace, workflow.name)
    for fact in saved.transition.facts:
        _count_fact(meter, fact, labels)
        if fact.type in _ENDS:
            _observe_duration(meter, saved, labels)
    attempt = saved.before.attempt
    for ended in saved.transition.ended:
        is_loaded = attempt is not None and attempt.id == ended.attempt
        task = attempt.task if attempt is not None and is_loaded else OVERFLOW
        meter.count(metrics.ATTEMPTS_ENDED, (task, ended.state.value))


def _count_fact(meter: Meter, fact: Fact, labels: Labels) -> None:
    counter = metrics.FACT_COUNTERS.get(fact.type)
    if counter is not None:
        meter.count(counter[0], labels + counter[1])
    elif fact.type == "compensation.ended":
        meter.count(metrics.COMPENSATIONS_ENDED, (*labels, fact.data["compensation"]))


def _observe_duration(meter: Meter, saved: CommittedTransition, labels: Labels) -> None:
    after = saved.transition.instance
    if after.created_at is not None and after.ended_at is not None:
        seconds = (after.ended_at - after.created_at).total_seconds()
        meter.observe(metrics.INSTANCE_SECONDS, seconds, (*labels, after.status.value))
