"""Records a span for each attempt, if the process uses OpenTelemetry.

The instance stores the trace in which it was started (W3C Trace Context). The task's request has
it as `traceparent`, so that the users' instrumentation of Celery continues it. If OpenTelemetry
is configured in this process (by its SDK or by ``opentelemetry-instrument``), our span is the
parent of theirs, and that configuration decides where spans are exported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.state_manager import ClaimedAttempt


_NO_SPAN = nullcontext()


def span(
    claimed: ClaimedAttempt, task: str, request: dict[str, Any]
) -> AbstractContextManager[None]:
    """Return a context manager that records the attempt's span and puts it into `request`."""
    # OpenTelemetry's module may be loaded because some library imports it. Only a process in which
    # tracing is configured has a provider: without one, record no span.
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None or isinstance(api.get_tracer_provider(), api.ProxyTracerProvider):
        return _NO_SPAN
    return _span(claimed, task, request)


@contextmanager
def _span(claimed: ClaimedAttempt, task: str, request: dict[str, Any]) -> Iterator[None]:
    from opentelemetry import propagate, trace

    attributes: dict[str, str | int] = {
        "orchestrator.namespace": claimed.workflow.namespace,
        "orchestrator.workflow": claimed.workflow.name,
        "orchestrator.instance": claimed.instance_id,
        "orchestrator.step": claimed.step.id,
        "orchestrator.reference": claimed.step.reference,
        "orchestrator.attempt": claimed.attempt.id,
        "orchestrator.attempt.number": claimed.attempt.number,
        "celery.task_name": task,
    }
    tracer = trace.get_tracer("celery-orchestrator")
    parent = propagate.extract(claimed.trace) if claimed.trace else None
    with tracer.start_as_current_span(
        f"step {claimed.step.reference}", parent, trace.SpanKind.CONSUMER, attributes
    ):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        request.update(carrier)
        yield
