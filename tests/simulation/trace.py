"""What happened to the simulated tables, statement by statement, to be done again elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.core.model import AttemptState, Json, StimulusKind
from orchestrator.database.connection.database import Fenced, Superseded
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.save_request import SaveRequest
from orchestrator.document.model import Workflow
from tests.simulation.tables import Tables

_NAMES = uuid.UUID("5c0e5a52-6f0f-4a0c-9d4c-6f6f7a1c7e11")


@dataclass(frozen=True, slots=True)
class Done:
    """One statement: its name, what it was given, what came of it, and when."""

    what: str
    given: tuple[Any, ...]
    result: Any
    at: datetime


class Trace(Tables):
    """Tables that remember. Workflows have ids as Postgres gives them."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.done: list[Done] = []
        self._depth = 0

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """True for a statement, False for what it does by other methods."""
        self._depth += 1
        try:
            yield self._depth == 1
        finally:
            self._depth -= 1

    def _note(self, what: str, *given: Any, result: Any = None) -> None:
        self.done.append(Done(what, given, result, self.now()))

    def deploy(self, document: dict[str, Any]) -> str:
        workflow = Workflow(document)
        id = str(uuid.uuid5(_NAMES, f"{workflow.namespace}/{workflow.name}/{workflow.version}"))
        self.workflows[id] = workflow
        return id

    def start(self, id: str, workflow: str, input: Json, key: str | None = None) -> str:
        with self._alone():
            new = id not in self.instances
            found = super().start(id, workflow, input, key)
            if found == id and new:
                self._note("start", id, workflow, input)
            return found

    def put(
        self,
        instance: str,
        kind: StimulusKind,
        step: int | None = None,
        attempt: str | None = None,
        data: Json = None,
        key: str | None = None,
    ) -> None:
        with self._alone() as alone:
            super().put(instance, kind, step, attempt, data, key)
            if alone:
                self._note("put", instance, kind, step, attempt, data, key)

    def delete_stimulus(self, stimulus: int) -> None:
        place = self._place(stimulus)
        super().delete_stimulus(stimulus)
        if place is not None:
            self._note("forget", *place)

    def _place(self, stimulus: int) -> tuple[str, int] | None:
        """The instance whose inbox holds it, and how many are before it."""
        for id, rows in self.instances.items():
            if stimulus in rows.inbox:
                return id, list(rows.inbox).index(stimulus)
        return None

    def claim(self, *given: Any) -> Snapshot | None:
        found = super().claim(*given)
        self._note("claim", *given, result=found)
        return found

    def take_next(self, *given: Any) -> Snapshot | None:
        *asked, locked = given
        found = super().take_next(*given)
        self._note("take_next", *asked, sorted(_names(locked)), result=found)
        return found

    def end_attempt(self, attempt: str, state: AttemptState) -> None:
        with self._alone() as alone:
            super().end_attempt(attempt, state)
            if alone:
                self._note("end", attempt, state)

    def save(self, saving: SaveRequest) -> None:
        with self._alone():
            stimulus = saving.stimulus.id
            place = None if stimulus is None else self._place(stimulus)
            try:
                super().save(saving)
            except (Superseded, Fenced) as refused:
                self._note("save", saving, place, result=type(refused))
                raise
            self._note("save", saving, place)


def _names(locked: Iterable[str]) -> list[str]:
    return [str(one) for one in locked]
