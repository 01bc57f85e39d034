"""What the State Manager counts: claims, transitions, and the facts that they tell."""

from __future__ import annotations

from datetime import datetime

from orchestrator.core.model import Attempt, Fact
from orchestrator.document.model import Workflow
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics
from orchestrator.metrics.meter import OVERFLOW, Labels
from orchestrator.state_manager.transition_runner import CommittedTransition

#: The facts that tell of an instance's end.
_ENDS = frozenset({"workflow.completed", "workflow.faulted", "workflow.cancelled"})


def count_claim(meter: Meter, attempt: Attempt, queue: str, now: datetime, how: str) -> None:
    """An attempt was claimed `now`, by the database's clock; its id tells when it was made."""
    made = int(attempt.id[:8] + attempt.id[9:13], 16) / 1000  # a UUIDv7 begins with its time
    late = max(now.timestamp() - made, 0.0)
    meter.observe(metrics.DISPATCH_SECONDS, late, (queue, how))


def count_transition(
    meter: Meter, saved: CommittedTransition, workflow: Workflow, source: str, seconds: float
) -> None:
    """A transition has committed, `seconds` after it was set out for."""
    meter.observe(metrics.TRANSITION_SECONDS, seconds, (source,))
    of = (workflow.namespace, workflow.name)
    for fact in saved.transition.facts:
        _count_fact(meter, fact, of)
        if fact.type in _ENDS:
            _observe_duration(meter, saved, of)
    attempt = saved.before.attempt
    for ended in saved.transition.ended:
        known = attempt is not None and attempt.id == ended.attempt
        task = attempt.task if attempt is not None and known else OVERFLOW
        meter.count(metrics.ATTEMPTS_ENDED, (task, ended.state.value))


def _count_fact(meter: Meter, fact: Fact, of: Labels) -> None:
    counted = metrics.FACT_COUNTERS.get(fact.type)
    if counted is not None:
        meter.count(counted[0], of + counted[1])
    elif fact.type == "compensation.ended":
        meter.count(metrics.COMPENSATIONS_ENDED, (*of, fact.data["compensation"]))


def _observe_duration(meter: Meter, saved: CommittedTransition, of: Labels) -> None:
    after = saved.transition.instance
    if after.created_at is not None and after.ended_at is not None:
        seconds = (after.ended_at - after.created_at).total_seconds()
        meter.observe(metrics.INSTANCE_SECONDS, seconds, (*of, after.status.value))
