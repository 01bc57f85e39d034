"""Users' tasks in a project that traces Celery with OpenTelemetry; spans are written to a file."""

from __future__ import annotations

import json
import logging
import os

from celery import shared_task
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)

log = logging.getLogger("shop")


class _ToFile(SpanExporter):
    def export(self, spans):
        with open(os.environ["TRACED_FILE"], "a", encoding="utf-8") as file:
            file.writelines(json.dumps(json.loads(span.to_json())) + "\n" for span in spans)
        return SpanExportResult.SUCCESS


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(_ToFile()))
trace.set_tracer_provider(provider)
CeleryInstrumentor().instrument()


@shared_task(name="traced.work")
def work(**_):
    log.info("The task works")
    with trace.get_tracer("shop").start_as_current_span("within"):
        return {"trace": trace.get_current_span().get_span_context().trace_id.to_bytes(16).hex()}
