"""Runs an instance's history through the core again: the same state must come of it (I12).

Nothing is used but the history's rows, the document and the instance's input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from orchestrator.core import Bounds, advance
from orchestrator.core.attempt_end_json import end_from_json
from orchestrator.core.model import AttemptState, DataNeeded, Json, Stimulus, StimulusKind
from orchestrator.database.transitions.save_request import SaveRequest
from orchestrator.document.model import Workflow
from orchestrator.expressions import Evaluate
from tests.simulation.database import LOADERS
from tests.simulation.invariants import require
from tests.simulation.rows import CLAIMED, READY, HistoryRow, Rows
from tests.simulation.tables import Tables


class Replay(Tables):
    """One instance, and nobody else."""

    def __init__(self, workflows: Mapping[str, Workflow], original: Rows) -> None:
        super().__init__(lambda: 0.0)
        self.workflows = dict(workflows)
        before = original.value
        self._insert(
            before.id,
            before.workflow_id,
            before.input,
            state=original.first_state,
            parent_instance=before.parent_instance,
            parent_step=before.parent_step,
        )
        self.rows = self.instances[before.id]
        self.rows.value = replace(self.rows.value, created_at=before.created_at)
        #: The loaders ask for these.
        self.tables, self.database = self, self
        self.transaction = SimpleNamespace(attempts=set())
        self.locked_attempts: dict[str, Any] = {}
        self.found: Mapping[str, Json] = {}

    def put(self, instance: str, *given: Any, **more: Any) -> None:
        """Notes go nowhere."""

    def run(self, history: list[HistoryRow], evaluate: Evaluate, limits: Bounds) -> None:
        """Decide and save every transition again."""
        for row in history:
            told = row.stimulus
            result = told["kind"] == StimulusKind.RESULT
            for attempt in [*told.get("claimed", ()), *([told["attempt"]] if result else ())]:
                self._claim(attempt)
            stimulus = Stimulus(
                kind=StimulusKind(told["kind"]),
                at=row.at,
                seed=row.seed,
                step=told.get("step"),
                data=told.get("data", {}),
                ended=end_from_json(told) if result else None,
                items=told.get("items"),
                is_undecidable=told.get("undecidable", False),
            )
            self.found = told.get("workflows", {})
            self._bring(stimulus, told.get("attempt"), evaluate, limits)

    def _claim(self, attempt: str) -> None:
        row = self.attempts[attempt]
        if row.value.state is READY:
            row.value = replace(row.value, state=CLAIMED)

    def _bring(
        self, stimulus: Stimulus, attempt: str | None, evaluate: Evaluate, limits: Bounds
    ) -> None:
        slice = self.read_slice(self.rows.value.id, stimulus.step or 0, attempt).slice
        while True:
            try:
                change = advance(self.rows.workflow, slice, stimulus, evaluate, limits)
                break
            except DataNeeded as needs:
                slice = replace(slice, loaded={**slice.loaded, needs.need: self._answer(needs)})
        require(change.ignored is None, "I12", "ignored at its replay:", stimulus)
        self.save(SaveRequest(slice, stimulus, change, lambda _: "celery"))

    def _answer(self, needs: DataNeeded) -> Json:
        need = needs.need
        if need.what == "workflow":
            return self.found["/".join(need.args)]
        if need.what == "tree":
            return True
        return LOADERS[need.what](self, self.rows, *need.args)


def check(
    workflows: Mapping[str, Workflow], original: Rows, evaluate: Evaluate, limits: Bounds
) -> None:
    """Raises `Violated` where the replay comes to another state."""
    replay = Replay(workflows, original)
    replay.run(original.history, evaluate, limits)
    again = replay.rows
    require(again.value == original.value, "I12", again.value, "is not", original.value)
    require(again.steps == original.steps, "I12", again.steps, "are not", original.steps)
    facts = [row.facts for row in again.history]
    require(facts == [row.facts for row in original.history], "I12", "other facts")
    require(_attempts(again) == _attempts(original), "I12", "other attempts")


def _attempts(rows: Rows) -> list[tuple[Any, ...]]:
    return [
        (one.value.id, one.value.step, one.value.number, one.value.starts, one.value.state)
        for one in rows.attempts
        if one.value.state is not AttemptState.WITHDRAWN
    ]
