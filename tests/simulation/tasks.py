"""The users' tasks of the simulation. A task's behaviour follows from its arguments and its step's
rows, so that it behaves the same when its step starts again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.core.model import AttemptEnd, AttemptState, Json
from orchestrator.error_handler.task_errors import runtime_error
from orchestrator.errors import ERROR_TYPES
from orchestrator.state_manager import ClaimedAttempt
from tests.simulation.tables import Tables

#: What a main process says of a child that is gone.
LOST = runtime_error("WorkerLostError", "the process that ran the step is gone")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ends, and after how many seconds."""

    output: Json = None
    error: Json = None
    retry_in: float | None = None
    seconds: float = 0.0

    def ended(self, attempt: str) -> AttemptEnd:
        """What its worker commits."""
        state = AttemptState.SUCCEEDED if self.error is None else AttemptState.FAILED
        return AttemptEnd(attempt, state, self.output, self.error, retry_in=self.retry_in)


def error(status: int) -> dict[str, Any]:
    """The error that a failing task raises."""
    return {"type": ERROR_TYPES + "runtime", "status": status, "title": f"Error {status}"}


def output_of(name: str, item: Json = None) -> dict[str, Json]:
    """What a task gives back."""
    return {"n": (sum(map(ord, name)) + (item or 0)) % 7}


def work(tables: Tables, work: ClaimedAttempt) -> Outcome:
    """A step's task. Arguments: ``name``; ``item``; ``fails``: how many of its first runs fail
    (by the number of the step among those of its task), with ``status``; ``retries``: it asks
    Celery for so many retries first; ``seconds``."""
    given = work.call["kwargs"]
    seconds = given.get("seconds", 0.0)
    if work.retries < given.get("retries", 0):
        return Outcome(None, error(500), retry_in=0.2, seconds=seconds)
    if rank(tables, work) < given.get("fails", 0):
        return Outcome(None, error(given.get("status", 500)), seconds=seconds)
    return Outcome(output_of(given["name"], given.get("item")), seconds=seconds)


def rank(tables: Tables, work: ClaimedAttempt) -> int:
    """How many steps of this task came before this one in its instance."""
    steps = tables.instances[work.instance_id].steps.values()
    return sum(step.reference == work.step.reference and step.id < work.step.id for step in steps)


def undo(tables: Tables, work: ClaimedAttempt) -> Outcome:
    """A compensation. ``fails``: how many of its runs fail, whichever worker has them."""
    given = work.call["kwargs"]
    attempts = tables.instances[work.instance_id].attempts
    failed = sum(
        row.value.step == work.step.id and row.value.state is AttemptState.FAILED
        for row in attempts
    )
    if failed < given.get("fails", 0):
        return Outcome(None, error(500))
    return Outcome({"undone": given["name"]})


TASKS: dict[str, Callable[[Tables, ClaimedAttempt], Outcome]] = {"sim.work": work, "sim.undo": undo}
