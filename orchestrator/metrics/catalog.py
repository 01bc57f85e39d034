"""All metrics that processes count, by their names in Prometheus.

Names follow https://prometheus.io/docs/practices/naming/: base units, ``_total`` for counters,
``_seconds`` for durations. Labels have few values: the names of workflows, tasks and queues, and
fixed words; never an id. Prometheus itself adds the labels ``job`` and ``instance``: no metric here
may have them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: Upper bounds of histogram buckets, in seconds: QUICK for transitions and requests, LONG for
#: steps and instances.
QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
LONG = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)


class MetricType(StrEnum):
    """The type of a metric in Prometheus."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric. Metrics are compared by identity, which makes the lookup of a series fast.
    `name` omits the ``_total`` that a counter shows."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def kind(self) -> MetricType:
        """The type: a metric with buckets is a histogram."""
        return MetricType.HISTOGRAM if self.buckets else MetricType.COUNTER

    @property
    def width(self) -> int:
        """How many numbers a series has: one per bucket, one for +Inf, and the sum."""
        return len(self.buckets) + 2 if self.buckets else 1


_WORKFLOW = ("namespace", "workflow")

INSTANCES_STARTED = Metric(
    "orchestrator_instances_started", "Instances whose first transition has committed.", _WORKFLOW
)
INSTANCES_ENDED = Metric(
    "orchestrator_instances_ended", "Instances that ended, by status.", (*_WORKFLOW, "status")
)
INSTANCE_SECONDS = Metric(
    "orchestrator_instance_duration_seconds",
    "From an instance's creation to its end.",
    (*_WORKFLOW, "status"),
    LONG,
)
STEPS_STARTED = Metric("orchestrator_steps_started", "Steps that started.", _WORKFLOW)
STEPS_ENDED = Metric(
    "orchestrator_steps_ended", "Steps that ended, by status.", (*_WORKFLOW, "status")
)
RETRIES = Metric("orchestrator_retries", "Retries of steps and of `try` blocks.", _WORKFLOW)
COMPENSATIONS_STARTED = Metric(
    "orchestrator_compensations_started", "Instances whose compensation started.", _WORKFLOW
)
COMPENSATIONS_ENDED = Metric(
    "orchestrator_compensations_ended",
    "Instances whose compensation ended, by outcome: completed, failed, or none (no step undone).",
    (*_WORKFLOW, "outcome"),
)
STEPS_COMPENSATED = Metric(
    "orchestrator_steps_compensated", "Completed steps that were undone.", _WORKFLOW
)
COMPENSATIONS_FAILED = Metric(
    "orchestrator_compensation_failures",
    "Compensations of steps that failed for good and wait for a person.",
    _WORKFLOW,
)

DISPATCH_SECONDS = Metric(
    "orchestrator_dispatch_duration_seconds",
    "From the transition that made an attempt ready to its claim, by queue and delivery: message,"
    " or continued in the worker process that made it ready.",
    ("queue", "delivery"),
    QUICK,
)
TRANSITION_SECONDS = Metric(
    "orchestrator_transition_duration_seconds",
    "Reading, deciding and committing one transition, by the source of its stimulus: a worker's"
    " result, the inbox, or a command that the API decides.",
    ("source",),
    QUICK,
)
ATTEMPTS_ENDED = Metric(
    "orchestrator_attempts_ended",
    "Attempts that ended, by task and state: succeeded, failed or lost.",
    ("task", "state"),
)
ATTEMPT_SECONDS = Metric(
    "orchestrator_attempt_duration_seconds",
    "A task's run in a worker, including the commit of its result.",
    ("task",),
    LONG,
)
MESSAGES_AND_RESULTS_REFUSED = Metric(
    "orchestrator_messages_and_results_refused",
    "Messages and results that a worker refused, by reason: a message that the orchestrator did"
    " not send (forged), that needs a time limit where none is enforced (limit) or whose attempt"
    " is not ready any more (claim), a result that came after its attempt had ended (stale).",
    ("reason",),
)
MESSAGES = Metric(
    "orchestrator_messages_published", "Messages that the broker accepted, by kind.", ("kind",)
)
PUBLISH_FAILURES = Metric(
    "orchestrator_publish_failures",
    "Messages that the broker did not accept in time; a beat sends them again.",
)
MESSAGES_REPUBLISHED = Metric(
    "orchestrator_messages_republished",
    "Messages of attempts that a beat sent again because the first ones seemed lost.",
)

TIMER_LATENESS = Metric(
    "orchestrator_timer_lateness_seconds",
    "How late timers fired, by the database's clock.",
    (),
    QUICK,
)
LEASES_EXPIRED = Metric(
    "orchestrator_leases_expired", "Attempts whose worker sent no heartbeat for one lease."
)
SCHEDULES_FIRED = Metric("orchestrator_schedules_fired", "Schedules that fired.")
STARTS_MOVED = Metric(
    "orchestrator_outbox_moved",
    "Submitted starts that left the outbox, by outcome: started or refused.",
    ("outcome",),
)
JOB_SECONDS = Metric(
    "orchestrator_maintenance_job_duration_seconds",
    "One run of a beat's maintenance job.",
    ("maintenance_job",),
    QUICK,
)
JOB_FAILURES = Metric(
    "orchestrator_maintenance_job_failures",
    "Runs of a beat's maintenance job that failed.",
    ("maintenance_job",),
)
DELIVERIES = Metric(
    "orchestrator_deliveries", "Requests to webhooks, by outcome: arrived or missed.", ("outcome",)
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
    metric.name: metric for metric in tuple(globals().values()) if isinstance(metric, Metric)
}

#: The metric that a fact of a transition counts, and its labels after those of the workflow.
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
