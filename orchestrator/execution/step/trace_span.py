"""A span for each attempt, where the process uses OpenTelemetry; without it, nothing.

The instance carries the trace that it was started in (W3C Trace Context), and the task's
request has it as `traceparent`, so that the users' own instrumentation of Celery goes on with
it. Where OpenTelemetry is set up in this process (by its SDK or by ``opentelemetry-instrument``),
a span of ours stands between the two; where it is exported to is that set-up's to say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.state_manager import ClaimedAttempt


_NONE = nullcontext()


def span(work: ClaimedAttempt, task: str, request: dict[str, Any]) -> AbstractContextManager[None]:
    """The attempt's span around the block; the task's request continues it."""
    # Libraries load the API too; a provider is what a set-up has put there.
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None or isinstance(api.get_tracer_provider(), api.ProxyTracerProvider):
        return _NONE
    return _span(work, task, request)


@contextmanager
def _span(work: ClaimedAttempt, task: str, request: dict[str, Any]) -> Iterator[None]:
    from opentelemetry import propagate, trace

    attributes: dict[str, str | int] = {
        "orchestrator.namespace": work.workflow.namespace,
        "orchestrator.workflow": work.workflow.name,
        "orchestrator.instance": work.instance_id,
        "orchestrator.step": work.step.id,
        "orchestrator.reference": work.step.ref,
        "orchestrator.attempt": work.attempt.id,
        "orchestrator.attempt.number": work.attempt.number,
        "celery.task_name": task,
    }
    tracer = trace.get_tracer("celery-orchestrator")
    parent = propagate.extract(work.trace) if work.trace else None
    with tracer.start_as_current_span(
        f"step {work.step.ref}", parent, trace.SpanKind.CONSUMER, attributes
    ):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        request.update(carrier)
        yield
