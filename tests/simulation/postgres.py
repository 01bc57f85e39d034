"""Simulated schedules done again on real Postgres: the same refusals, the same histories.

Each statement that the simulated tables have answered is sent to Postgres through the layer that
the product uses, in the same order: claims, notes, and transitions. A transition is not copied
but decided anew, on what Postgres says the slice, the inbox and the answers to the core's needs
are. In the end every row that history rests on must be what the simulation has.

    python -m tests.simulation.postgres --traces 500
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

from orchestrator.core import Bounds
from orchestrator.core.model import Instance, Stimulus, StimulusKind
from orchestrator.database.connection.database import Database, Fenced, Superseded
from orchestrator.database.schema import upgrade
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.row_mapper import (
    to_attempt,
    to_instance,
    to_step,
    to_stimulus,
)
from orchestrator.database.transitions.save_request import SaveRequest, SiblingClaim
from orchestrator.database.transitions.state_store import PostgresStore
from orchestrator.embedded import Postgres
from orchestrator.json_codec import dumps, loads
from orchestrator.state_manager.decision import decide
from orchestrator.state_manager.deliberation import NoEvaluation
from orchestrator.state_manager.store_protocol import LockedView
from tests.simulation.rows import HistoryRow, Rows
from tests.simulation.schedule import EVALUATOR, Simulation
from tests.simulation.trace import Done, Trace
from tests.support.transitions import take_next


class Different(AssertionError):
    """Postgres has come to something else than the simulation."""


class Again:
    """One schedule, done again."""

    def __init__(self, database: Database, trace: Trace, limits: Bounds) -> None:
        self.database = database
        self.trace = trace
        self.limits = limits
        self.store = PostgresStore(database, None)  # type: ignore[arg-type]  # no secrets in it
        self.decided = 0

    def run(self) -> None:
        """All of it. Raises `Different`."""
        for id, workflow in self.trace.workflows.items():
            self._sql(
                "insert into orchestrator.workflows (id, namespace, name, version, version_key,"
                " digest, document, source, media_type) values (%s, %s, %s, %s, %s, '', %s, '', '')"
                " on conflict (id) do update set document = excluded.document",
                *(id, workflow.namespace, workflow.name, workflow.version, workflow.version),
                dumps(workflow.document),
            )
        for number, done in enumerate(self.trace.done):
            try:
                getattr(self, f"_{done.what}")(done)
            except Different as different:
                raise Different(f"statement {number}, {done.what}: {different}") from None
        for id, rows in self.trace.instances.items():
            self._compare(id, rows)

    def _sql(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        return self.database.all(statement, params)

    # -- statements --------------------------------------------------------------------------

    def _start(self, done: Done) -> None:
        id, workflow, input = done.given
        compiled = self.trace.workflows[workflow]
        self._sql(
            "insert into orchestrator.instances (id, namespace, workflow_id, workflow, version,"
            " input, created_at) values (%s, %s, %s, %s, %s, %s, %s)",
            *(id, compiled.namespace, workflow, compiled.name, compiled.version),
            *(dumps(input), done.at),
        )
        self.store.put_stimulus(id, StimulusKind.START)

    def _put(self, done: Done) -> None:
        instance, kind, step, attempt, data, key = done.given
        if kind is StimulusKind.TIMER:  # in one statement with the end of the timer
            self._sql(
                "delete from orchestrator.timers where instance_id = %s and step = %s"
                " and kind = %s",
                *(instance, step or 0, data["kind"]),
            )
        self.store.put_stimulus(instance, kind, step=step, attempt=attempt, data=data, key=key)

    def _stimulus(self, instance: str, place: int) -> int:
        ((id,),) = self._sql(
            "select id from orchestrator.stimuli where instance_id = %s order by id offset %s"
            " limit 1",
            *(instance, place),
        )
        return int(id)

    def _forget(self, done: Done) -> None:
        self.store.delete_stimulus(self._stimulus(*done.given))

    def _end(self, done: Done) -> None:
        attempt, state = done.given
        self.store.end_attempt(attempt, state.value)

    def _claim(self, done: Done) -> None:
        self._same_snapshot(self.store.claim(*done.given), done.result)

    def _take_next(self, done: Done) -> None:
        *asked, locked = done.given
        with self.database.transaction() as other:  # whoever held those rows then
            other.all(
                "select 1 from orchestrator.attempts where id = any(%s::uuid[]) for update",
                (locked,),
            )
            found = take_next(self.database, asked[0], SiblingClaim(*asked[1:]))
        self._same_snapshot(found, done.result)

    def _same_snapshot(self, found: Snapshot | None, wanted: Snapshot | None) -> None:
        mine, theirs = (one and (one.slice, one.inbox) for one in (found, wanted))
        _same("snapshot", mine, theirs)

    def _save(self, done: Done) -> None:
        saving, place = done.given
        if done.result is not None:
            self._refuse(saving, place, done.result)
            return
        with self.store.locking() as view:
            snapshot, stimulus = self._read(view, saving, place is not None)
            workflow = self.trace.workflows[snapshot.slice.instance.workflow_id]
            # What the simulation evaluated, or ended early, is so here.
            bounded = replace(stimulus, items=saving.transition.items or stimulus.items)
            deliberation = NoEvaluation(EVALUATOR.evaluate)
            given = (view, workflow, snapshot.slice, bounded, deliberation, self.limits)
            change, slice = decide(*given, locked=True)
            change = replace(change, items=saving.transition.items)
            _same("decision", change, saving.transition)
            same = replace(saving, slice=slice, stimulus=stimulus, transition=change)
            view.save(replace(same, sibling=None))  # the trace has it as a statement of its own
        self.decided += 1
        for child in saving.transition.children:
            self._sql(
                "update orchestrator.instances set created_at = %s where id = %s", done.at, child.id
            )

    def _read(
        self, view: LockedView, saving: SaveRequest, waited: bool
    ) -> tuple[Snapshot, Stimulus]:
        """What the transition is decided on, the stimulus too if it waited in the inbox."""
        stimulus = saving.stimulus
        if not waited:
            attempt = stimulus.ended.attempt if stimulus.ended else None
            return view.lock_slice(saving.instance_before.id, stimulus.step, attempt), stimulus
        snapshot = view.lock_inbox(saving.instance_before.id)
        if snapshot is None or snapshot.stimulus is None:
            raise Different("nothing waits")
        read = to_stimulus(snapshot.stimulus, stimulus.at, stimulus.seed)
        # Leases on decisions, and with them how often one was begun, are not in the trace.
        read = replace(read, is_undecidable=stimulus.is_undecidable)
        _same("stimulus", replace(read, id=None), replace(stimulus, id=None))
        return snapshot, read

    def _refuse(self, saving: SaveRequest, place: tuple[str, int] | None, why: type) -> None:
        """What was too late there is too late here."""
        if saving.stimulus.id is not None:
            gone = -1 if place is None else self._stimulus(*place)
            saving = replace(saving, stimulus=replace(saving.stimulus, id=gone))
        try:
            self.store.save(saving)
        except (Superseded, Fenced) as refused:
            _same("refusal", type(refused).__name__, why.__name__)
        else:
            raise Different(f"was saved, and had to be refused: {why.__name__}")

    # -- the end -----------------------------------------------------------------------------

    def _compare(self, id: str, rows: Rows) -> None:
        def read(table: str, key: str, order: str, to: Callable[[Any], Any]) -> list[Any]:
            found = self._sql(
                f"select row_to_json(t) from orchestrator.{table} t where {key} = %s"
                f" order by {order}",
                id,
            )
            return [to(row) for (row,) in found]

        _same(
            "history",
            read("history", "instance_id", "sequence", _told),
            [(one.sequence, one.at, one.seed, one.stimulus, _facts(one)) for one in rows.history],
        )
        _same("instance", read("instances", "id", "id", to_instance), [rows.value])
        steps = [step for _, step in sorted(rows.steps.items())]
        _same("steps", read("steps", "instance_id", "id", to_step), steps)
        attempts = [one.value for one in sorted(rows.attempts, key=lambda row: row.value.id)]
        _same("attempts", read("attempts", "instance_id", "id", to_attempt), attempts)
        timers = self._sql("select step, kind from orchestrator.timers where instance_id = %s", id)
        _same("timers", sorted(timers), sorted(rows.timers))


def _same(what: str, mine: Any, theirs: Any) -> None:
    one, other = _plain(mine), _plain(theirs)
    if one != other:
        raise Different(f"{what}: " + "; ".join(_differences(one, other)))


def _differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Where two plain values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in {**one, **other}:
            yield from _differences(one.get(name), other.get(name), f"{place}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from _differences(mine, theirs, f"{place}[{index}]")
    elif one != other:
        yield f"{place or 'it'} is {one} in Postgres, {other} in the simulation"


def _told(row: dict[str, Any]) -> tuple[Any, ...]:
    at = datetime.fromisoformat(row["at"])
    return row["sequence"], at, row["seed"], row["stimulus"], row["facts"]


def _facts(row: HistoryRow) -> list[Any]:
    return [(f.type, f.step) if f.data is None else (f.type, f.step, f.data) for f in row.facts]


def _plain(value: Any) -> Any:
    """As JSON has it, members by their names."""
    if is_dataclass(value) and not isinstance(value, type):
        return _members(value)
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return loads(dumps(value.value if isinstance(value, Enum) else value))


def _members(value: Any) -> dict[str, Any]:
    found = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Instance):
        del found["input"]  # of an instance it is not read again
    return found


def run(database_url: str, first: int, traces: int, seconds: float = 1e9) -> dict[str, Any]:
    """So many schedules, or as many as fit; the figures."""
    database = Database(database_url)
    until, failed, decided, seed = time.monotonic() + seconds, [], 0, first
    try:
        while seed < first + traces and time.monotonic() < until:
            simulation = Simulation(seed, tables=Trace)
            simulation.run()
            assert isinstance(simulation.tables, Trace)
            again = Again(database, simulation.tables, simulation.limits)
            try:
                again.run()
            except Different as different:
                failed.append(seed)
                print(f"seed {seed}: {str(different)[:3000]}", file=sys.stderr)
            decided += again.decided
            seed += 1
    finally:
        database.close()
    return {"traces": seed - first, "transitions": decided, "failed": failed}


def main() -> int:
    """Exit status 1: they differ somewhere."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.postgres")
    parser.add_argument("--traces", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--out", help="write the figures there, as JSON")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with Postgres(Path(folder) / "pg", fsync=False) as postgres:
            upgrade.upgrade(postgres.url)
            figures = run(postgres.url, chosen.first, chosen.traces, chosen.seconds)
    print(json.dumps(figures, indent=2))
    if chosen.out:
        Path(chosen.out).write_text(json.dumps(figures))
    return 1 if figures["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
