"""Whether the end of a schedule is what it had to be: by the oracle, and by its own history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.model import Status, Step
from tests.simulation.invariants import require
from tests.simulation.oracle import Oracle
from tests.simulation.rows import Rows

if TYPE_CHECKING:
    from tests.simulation.schedule import Simulation


def check(simulation: Simulation) -> None:
    """Every instance that a client started ended as it had to."""
    for id in set(simulation.watch.acked.values()):
        _check(simulation, simulation.tables.instances[id])


def _check(simulation: Simulation, rows: Rows) -> None:
    facts = _facts(rows)
    if "workflow.cancelled" in facts:
        require(
            "workflow.retried" in facts or rows.value.status is Status.CANCELLED,
            "oracle",
            "cancelled, but",
            rows.value.status,
        )
        return
    if not _is_foretold(simulation, rows, facts):
        return
    known = {body["document"]["name"]: body for body in simulation.bodies}
    end = Oracle(known, Lost(simulation, rows)).end("main", rows.value.input)
    one = rows.value
    if end.status is None:
        require(one.status is Status.COMPLETED, "oracle", end, "but", one)
        require(one.output == end.output, "oracle", end, "but", one.output)
    else:
        require(one.status is Status.FAULTED, "oracle", end, "but", one)
        require((one.error or {}).get("status") == end.status, "oracle", end, "but", one.error)


def _facts(rows: Rows) -> list[str]:
    return [fact.type for row in rows.history for fact in row.facts]


def _is_foretold(simulation: Simulation, rows: Rows, facts: list[str]) -> bool:
    if not simulation.documents.exact or "workflow.retried" in facts:
        return False
    family = _family(simulation, rows)
    # A sub-workflow that a person cancelled has told its parent, even if it is retried then.
    if any("workflow.cancelled" in _facts(one) for one in family):
        return False
    unknown = [(one, step) for one in family for step in one.steps.values() if step.outcome_unknown]
    return not any(_beside(one, step) for one, step in unknown)


def _family(simulation: Simulation, rows: Rows) -> list[Rows]:
    id = rows.value.id
    everybody = simulation.tables.instances.values()
    return [rows, *(one for one in everybody if one.value.parent_instance == id)]


def _beside(rows: Rows, step: Step) -> bool:
    """Whether anything runs beside this step: then it is a matter of time what comes of it."""
    chain = rows.chain(step.id).values()
    return any(
        one.kind == "fork" or "concurrency" in rows.workflow.task(one.reference).metadata
        for one in chain
    )


class Lost:
    """Tells the oracle which steps were lost for good."""

    def __init__(self, simulation: Simulation, rows: Rows) -> None:
        self._simulation = simulation
        self._rows = rows

    def __call__(self, place: str, rank: int) -> bool:
        above, _, ref = place.rpartition(" ")
        for rows in self._of(above):
            steps = [step for _, step in sorted(rows.steps.items()) if step.reference == ref]
            if rank < len(steps):
                return steps[rank].outcome_unknown
            rank -= len(steps)
        return False

    def _of(self, above: str) -> list[Rows]:
        """The instances that a task of the main one has run, in their order."""
        if not above:
            return [self._rows]
        instances = self._simulation.tables.instances
        runs = [step for _, step in sorted(self._rows.steps.items()) if step.reference == above]
        children = [(step.state or {}).get("child") for step in runs]
        return [instances[child] for child in children if child in instances]
