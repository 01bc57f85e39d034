"""Every metric that processes count, by its name in Prometheus.

Names follow https://prometheus.io/docs/practices/naming/: base units, ``_total`` for what is
counted, ``_seconds`` for durations. Labels have few values: names that people gave to
workflows, tasks and queues, and words of ours; never an id.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: Upper bounds of durations, in s: from a transition's millisecond to a long step's hour.
QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
LONG = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)


class MetricType(StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric; compared by identity, so that finding its series is quick. `name` is
    without the ``_total`` that a counter shows."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def kind(self) -> MetricType:
        """What has buckets is a histogram."""
        return MetricType.HISTOGRAM if self.buckets else MetricType.COUNTER

    @property
    def width(self) -> int:
        """How many numbers a series of it keeps: one a bucket, one for +Inf, the sum."""
        return len(self.buckets) + 2 if self.buckets else 1


_WORKFLOW = ("namespace", "workflow")

INSTANCES_STARTED = Metric(
    "orchestrator_instances_started", "Instances whose first transition was made.", _WORKFLOW
)
INSTANCES_ENDED = Metric(
    "orchestrator_instances_ended", "Instances that ended, by how.", (*_WORKFLOW, "status")
)
INSTANCE_SECONDS = Metric(
    "orchestrator_instance_duration_seconds",
    "From an instance's creation to its end.",
    (*_WORKFLOW, "status"),
    LONG,
)
STEPS_STARTED = Metric("orchestrator_steps_started", "Steps that began.", _WORKFLOW)
STEPS_ENDED = Metric(
    "orchestrator_steps_ended", "Steps that ended, by how.", (*_WORKFLOW, "status")
)
RETRIES = Metric("orchestrator_retries", "Retries of steps and of `try` blocks.", _WORKFLOW)
COMPENSATIONS_STARTED = Metric(
    "orchestrator_compensations_started", "Instances whose undoing began.", _WORKFLOW
)
COMPENSATIONS_ENDED = Metric(
    "orchestrator_compensations_ended",
    "Instances whose undoing ended, by how: completed, failed, or none (nothing was undone).",
    (*_WORKFLOW, "outcome"),
)
STEPS_COMPENSATED = Metric(
    "orchestrator_steps_compensated", "Completed steps that were undone.", _WORKFLOW
)
COMPENSATIONS_FAILED = Metric(
    "orchestrator_compensation_failures",
    "Compensations of a step that gave up and wait for a person.",
    _WORKFLOW,
)

DISPATCH_SECONDS = Metric(
    "orchestrator_dispatch_duration_seconds",
    "From the transition that made an attempt ready to its claim, by queue and by how it came:"
    " by a message, or continued by the worker that made it ready.",
    ("queue", "how"),
    QUICK,
)
TRANSITION_SECONDS = Metric(
    "orchestrator_transition_duration_seconds",
    "Reading, deciding and committing one transition; brought by a worker's result, from"
    " the inbox, or by a command that the API decides.",
    ("source",),
    QUICK,
)
ATTEMPTS_ENDED = Metric(
    "orchestrator_attempts_ended",
    "Attempts that ended, by task and by how: succeeded, failed or lost.",
    ("task", "state"),
)
ATTEMPT_SECONDS = Metric(
    "orchestrator_attempt_duration_seconds",
    "A task's run in a worker, the commit of its end included.",
    ("task",),
    LONG,
)
MESSAGES_AND_RESULTS_REFUSED = Metric(
    "orchestrator_refusals",
    "What was refused, by why: a message that is none of ours (forged), that needs a time limit"
    " where none is enforced (limit) or that is too late (claim), a result that came after its"
    " attempt had ended (stale).",
    ("reason",),
)
MESSAGES = Metric(
    "orchestrator_messages_published", "Messages that the broker took, by kind.", ("kind",)
)
UNPUBLISHED = Metric(
    "orchestrator_messages_unpublished",
    "Messages that the broker did not take in time; a beat sends them again.",
)
PUBLISHED_AGAIN = Metric(
    "orchestrator_attempts_published_again", "Attempts whose message was taken for lost."
)

TIMER_LATENESS = Metric(
    "orchestrator_timer_lateness_seconds",
    "How late timers fired, by the database's clock.",
    (),
    QUICK,
)
LEASES_EXPIRED = Metric(
    "orchestrator_leases_expired", "Attempts whose worker gave no sign of life for one lease."
)
SCHEDULES_FIRED = Metric("orchestrator_schedules_fired", "Schedules that fired.")
CHORE_SECONDS = Metric(
    "orchestrator_chore_duration_seconds", "One round of a beat's chore.", ("chore",), QUICK
)
CHORE_FAILURES = Metric(
    "orchestrator_chore_failures", "Rounds of a beat's chore that failed.", ("chore",)
)
DELIVERIES = Metric(
    "orchestrator_deliveries", "Sendings to webhooks, by how they went.", ("outcome",)
)

REQUESTS = Metric(
    "orchestrator_http_requests",
    "Requests that the API answered.",
    ("method", "route", "status"),
)
REQUEST_SECONDS = Metric(
    "orchestrator_http_request_duration_seconds",
    "From a request's head to the first byte of its answer.",
    ("method", "route"),
    QUICK,
)

METRICS: dict[str, Metric] = {
    each.name: each for each in tuple(globals().values()) if isinstance(each, Metric)
}

#: What a fact of a transition counts: a metric, and its labels after those of the workflow.
FACT_COUNTERS: dict[str, tuple[Metric, tuple[str, ...]]] = {
    "workflow.started": (INSTANCES_STARTED, ()),
    "workflow.completed": (INSTANCES_ENDED, ("completed",)),
    "workflow.faulted": (INSTANCES_ENDED, ("faulted",)),
    "workflow.cancelled": (INSTANCES_ENDED, ("cancelled",)),
    "task.started": (STEPS_STARTED, ()),
    "task.completed": (STEPS_ENDED, ("completed",)),
    "task.faulted": (STEPS_ENDED, ("faulted",)),
    "task.cancelled": (STEPS_ENDED, ("cancelled",)),
    "task.retried": (RETRIES, ()),
    "task.compensated": (STEPS_COMPENSATED, ()),
    "compensation.started": (COMPENSATIONS_STARTED, ()),
    "compensation.failed": (COMPENSATIONS_FAILED, ()),
}
