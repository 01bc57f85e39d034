"""Durable canvas: Celery's chain, group and chord, run as workflows.

    from orchestrator.canvas import durable

    result = durable(chain(reserve.s(item), charge.s(card))).start()
    print(result.get(timeout=30))

Sugar over documents and the client: a canvas becomes a document of the Serverless Workflow DSL,
and the engine runs that. Importing this costs what `celery.canvas` costs.
"""

from orchestrator.canvas.compensations import compensated_by
from orchestrator.canvas.errors import CanvasRefused, WorkflowFaulted
from orchestrator.canvas.result import DurableResult, MemberResult
from orchestrator.canvas.shapes import expr
from orchestrator.canvas.start import Durable, durable

__all__ = [
    "CanvasRefused",
    "Durable",
    "DurableResult",
    "MemberResult",
    "WorkflowFaulted",
    "compensated_by",
    "durable",
    "expr",
]
