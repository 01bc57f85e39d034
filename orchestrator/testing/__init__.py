"""Tests of workflows without servers: no database, no broker, a virtual clock.

    from orchestrator.testing import Workflows, raises

    run = Workflows(app=app).run("order.yaml", {"id": 1}, tasks={"shop.charge": raises(Declined)})
    assert run.compensated == ["reserve"]

With pytest the fixture `workflows` is there (`pytest_plugin`). It needs only the base of the
distribution. A name's module is loaded at its first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.testing.coverage import WorkflowCoverage
    from orchestrator.testing.crash_report import CrashReport, Finding
    from orchestrator.testing.effects import Effect, Ledger, effect
    from orchestrator.testing.errors import (
        CommandRefused,
        NoEnd,
        TestingError,
        UnknownStep,
        UnknownStub,
        UnknownTask,
        UnknownWorkflow,
        UnstubbedRequest,
    )
    from orchestrator.testing.http_stubs import HttpRequest, response
    from orchestrator.testing.run import Run
    from orchestrator.testing.steps import StepView
    from orchestrator.testing.stubs import lost, raises, sequence, takes
    from orchestrator.testing.tested_step import TestedStep, step
    from orchestrator.testing.workflows import Workflows

__all__ = [
    "CommandRefused",
    "CrashReport",
    "Effect",
    "Finding",
    "HttpRequest",
    "Ledger",
    "NoEnd",
    "Run",
    "StepView",
    "TestedStep",
    "TestingError",
    "UnknownStep",
    "UnknownStub",
    "UnknownTask",
    "UnknownWorkflow",
    "UnstubbedRequest",
    "WorkflowCoverage",
    "Workflows",
    "effect",
    "lost",
    "raises",
    "response",
    "sequence",
    "step",
    "takes",
]

_MODULES = {
    "CommandRefused": "errors",
    "CrashReport": "crash_report",
    "Effect": "effects",
    "Finding": "crash_report",
    "HttpRequest": "http_stubs",
    "Ledger": "effects",
    "NoEnd": "errors",
    "Run": "run",
    "StepView": "steps",
    "TestedStep": "tested_step",
    "TestingError": "errors",
    "UnknownStep": "errors",
    "UnknownStub": "errors",
    "UnknownTask": "errors",
    "UnknownWorkflow": "errors",
    "UnstubbedRequest": "errors",
    "WorkflowCoverage": "coverage",
    "Workflows": "workflows",
    "effect": "effects",
    "lost": "stubs",
    "raises": "stubs",
    "response": "http_stubs",
    "sequence": "stubs",
    "step": "tested_step",
    "takes": "stubs",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
