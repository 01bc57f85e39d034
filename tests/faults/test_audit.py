"""Each query of the audit can fail: a violation is inserted into a correct database, and exactly
this query finds it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest

from tests.faults import audit

INSTANCE, WORKFLOW, ATTEMPT, OTHER = (str(uuid.UUID(int=number)) for number in range(1, 5))
BEGAN, ENDED, LATER = "2026-01-01 10:00", "2026-01-01 10:01", "2026-01-01 11:00"


@dataclass
class Planted:
    """An idle database with an instance of one step, the ids that a client received, and the
    ledger."""

    cursor: Any
    told: list[str]
    ledger: list[dict[str, Any]]

    def sql(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        self.cursor.execute(statement, params or None)
        return self.cursor.fetchall() if self.cursor.description else []

    def add(self, table: str, **values: Any) -> None:
        """A row; what is no plain value is JSON."""
        plain = [json.dumps(v) if isinstance(v, dict | list) else v for v in values.values()]
        names = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join(["%s"] * len(values))
        self.sql(f"insert into orchestrator.{table} ({names}) values ({marks})", *plain)

    def step(self, id: int, **values: Any) -> None:
        fine = {"parent": 0, "reference": f"/do/{id}/x", "kind": "call", "status": "completed"}
        self.add("steps", **{"instance_id": INSTANCE, "id": id, **fine, **values})

    def attempt(self, id: str, **values: Any) -> None:
        fine = {"step": 1, "number": 1, "starts": 1, "task": "t", "queue": "q", "token": "t"}
        fine |= {"state": "succeeded", "claimed_at": BEGAN, "ended_at": ENDED}
        self.add("attempts", **{"id": id, "instance_id": INSTANCE, **fine, **values})
        if values.get("claimed_at", BEGAN) and values.get("state") != "lost":
            self.ledger.append({"attempt": id})

    def transition(self, sequence: int, stimulus: Any = None, facts: Any = ()) -> None:
        told = {"stimulus": stimulus or {"kind": "result"}, "facts": list(facts)}
        self.add("history", instance_id=INSTANCE, sequence=sequence, at=BEGAN, seed=0, **told)
        self.sql("update orchestrator.instances set sequence = %s", sequence)

    def letter(self, **values: Any) -> None:
        fine = {"id": str(uuid.uuid4()), "namespace": "chaos", "instance_id": INSTANCE}
        self.add("dead_letters", **{**fine, "step": 1, "reason": "lost", **values})

    def problems(self) -> dict[str, Any]:
        return audit.problems(self.sql, self.told, self.ledger)


@pytest.fixture(scope="module")
def connection(module_database_url: str) -> Iterator[Any]:
    connection = psycopg2.connect(module_database_url)
    yield connection
    connection.close()


@pytest.fixture
def planted(connection: Any) -> Iterator[Planted]:
    """One workflow, one completed instance, one step, one attempt that ran."""
    with connection.cursor() as cursor:
        made = Planted(cursor, [INSTANCE], [])
        made.add(
            "workflows",
            id=WORKFLOW,
            namespace="chaos",
            name="line",
            version="1.0.0",
            version_key="1",
            digest="",
            document={},
            source="",
            media_type="",
        )
        made.add(
            "instances",
            id=INSTANCE,
            namespace="chaos",
            workflow_id=WORKFLOW,
            workflow="line",
            version="1.0.0",
            status="completed",
            state={"failed": 1},
            started_at=BEGAN,
            ended_at=ENDED,
        )
        made.transition(1, {"kind": "start"})
        made.transition(2, facts=[["workflow.completed", 0, None]])
        made.step(1, completion_number=1, started_at=BEGAN, ended_at=ENDED)
        made.attempt(ATTEMPT)
        yield made
    connection.rollback()


Plant = Callable[[Planted], Any]


def do(*parts: Plant) -> Plant:
    """One after the other."""

    def plant(planted: Planted) -> None:
        for part in parts:
            part(planted)

    return plant


def sql(statement: str, *params: Any) -> Plant:
    return lambda planted: planted.sql(statement, *params)


def step(id: int = 2, **values: Any) -> Plant:
    return lambda planted: planted.step(id, **values)


def attempt(**values: Any) -> Plant:
    return lambda planted: planted.attempt(OTHER, **values)


def transition(sequence: int, stimulus: Any = None, facts: Any = ()) -> Plant:
    return lambda planted: planted.transition(sequence, stimulus, facts)


def letter(**values: Any) -> Plant:
    return lambda planted: planted.letter(**values)


def row(table: str, **values: Any) -> Plant:
    return lambda planted: planted.add(table, **{"instance_id": INSTANCE, **values})


def ran(attempt: str | None) -> Plant:
    """The ledger has a line of it."""
    return lambda planted: planted.ledger.append({"attempt": attempt})


def of(status: str) -> Plant:
    """The instance's row says something else."""
    return sql("update orchestrator.instances set status = %s", status)


def named(name: str) -> Plant:
    """The workflow has another name, which is one of the load's."""
    return sql("update orchestrator.workflows set name = %s", name)


def lost(count: int) -> Plant:
    """The step was started so often, and each time its worker was lost."""

    def plant(planted: Planted) -> None:
        planted.sql("delete from orchestrator.attempts")
        planted.ledger.clear()
        for number in range(1, count + 1):
            planted.attempt(str(uuid.uuid4()), state="lost", number=number)
        planted.sql("update orchestrator.steps set status = 'faulted', outcome_unknown = true")

    return plant


GIVEN_UP = do(of("faulted"), lost(3))


def pause(seconds: float) -> Plant:
    """A pause of 0.3 s has taken so long."""
    ended = f"{BEGAN}:{seconds:06.3f}"
    return do(
        named("pause-300"), step(kind="wait", completion_number=2, started_at=BEGAN, ended_at=ended)
    )


def fired(times: int) -> Plant:
    told = {"kind": "timer", "step": 2, "data": {"kind": "wait"}}
    return do(pause(0.3), *(transition(3 + number, told) for number in range(times)))


def event(id: str) -> dict[str, Any]:
    return {"kind": "event", "step": 1, "data": {"event": {"source": "/s", "id": id}}}


def heard(*ids: str, name: str = "signalled") -> Plant:
    """A listener's instance has completed, with these events in its history."""
    told = (transition(3 + number, event(id)) for number, id in enumerate(ids))
    return do(named(name), *told)


def stale() -> Plant:
    """An offer of the event that was the last one before the instance was started."""

    def plant(planted: Planted) -> None:
        planted.add(
            "events", id=str(uuid.uuid4()), namespace="chaos", event_id="old", source="/s",
            type="t", event={},
        )  # fmt: skip
        planted.sql(
            "update orchestrator.instances set heard_from = (select receipt_number"
            " from orchestrator.events)"
        )
        planted.sql(
            "insert into orchestrator.event_offers (event, instance_id, step)"
            " select receipt_number, %s, 1 from orchestrator.events",
            INSTANCE,
        )

    return plant


def emitted(count: int) -> Plant:
    told = (
        row(
            "events",
            id=str(uuid.uuid4()),
            namespace="chaos",
            event_id=str(number),
            source="/s",
            type="chaos.told",
            event={},
        )
        for number in range(count)
    )
    return do(heard("one", name="talk"), *told)


#: An instance that no client was told of.
ANOTHER = sql(
    "insert into orchestrator.instances (id, namespace, workflow_id, workflow, version, status)"
    f" select '{OTHER}', namespace, workflow_id, workflow, version, 'completed'"
    " from orchestrator.instances"
)

#: What is planted, by the name of what must find it.
PLANTS: dict[str, list[Plant]] = {
    "I1 acknowledged and not there": [lambda planted: planted.told.append(OTHER)],
    "I1 started twice": [ANOTHER],
    "I2 history has a gap": [
        sql("delete from orchestrator.history where sequence = 1"),
        sql("delete from orchestrator.history"),
        sql("update orchestrator.instances set sequence = 3"),
    ],
    "I2 a step succeeded twice": [attempt(number=2)],
    "I2 an attempt's end is half told": [
        attempt(number=2, state="lost", ended_at=None),
        do(of("running"), attempt(number=2, state="claimed")),
    ],
    "I3 an end by nobody": [
        do(step(completion_number=2), attempt(step=2, token=None)),
        attempt(number=2, state="failed", token=None),
        do(attempt(number=2, state="failed", claimed_at=None)),
    ],
    "I3 completed, and no attempt succeeded": [
        do(step(completion_number=2), attempt(step=2, state="lost")),
        do(step(completion_number=2), attempt(step=2, state="withdrawn")),
    ],
    "I4 more starts than the limit": [lost(4)],
    "I4 given up without a dead letter": [GIVEN_UP],
    "I4 a dead letter of what was not given up": [
        letter(),
        do(step(status="faulted"), attempt(step=2, state="failed"), letter(step=2)),
    ],
    "I4 several dead letters of one step": [do(GIVEN_UP, letter(), letter())],
    "I5 an orphan": [of("running"), of("waiting"), of("pending")],
    "I5 something is left of an instance that has ended": [
        attempt(number=2, state="ready", claimed_at=None, ended_at=None),
        row("timers", step=1, kind="wait", due_at=LATER),
        row("listeners", step=1, namespace="chaos", mode="one", filters=[]),
        step(status="running"),
    ],
    "I7 one attempt ran twice": [ran(ATTEMPT)],
    "I7 ran without a claim": [
        do(attempt(number=2, state="withdrawn", claimed_at=None), ran(OTHER)),
        ran(OTHER),
    ],
    "I7 succeeded and never ran": [
        do(step(completion_number=2), attempt(step=2), lambda planted: planted.ledger.pop())
    ],
    "I7 ran outside of a step": [ran(None)],
    "I8 a step was undone twice": [do(step(compensates=1), step(3, compensates=1))],
    "I8 what did not complete was undone": [do(step(status="faulted"), step(3, compensates=2))],
    "I8 undone out of order": [
        do(step(completion_number=2), step(3, compensates=1), step(4, compensates=2))
    ],
    "I8 neither undone nor a dead letter": [step(compensates=1, status="faulted")],
    "I9 a pause ended early": [pause(0.299)],
    "I9 a pause ended twice": [fired(2)],
    "I10 an event counted twice for a listener": [
        do(transition(3, event("e")), transition(4, event("e")))
    ],
    "I10 a listener went on without its event, or with more": [
        heard(),
        heard("one", "two"),
    ],
    "I10 an event was heard by a younger instance": [stale()],
    "I10 an event was not emitted, or twice": [emitted(0), emitted(2)],
    "I13 an end was not the end": [transition(3, facts=[["workflow.faulted", 0, None]])],
    "I14 started after the end": [
        attempt(number=2, state="failed", claimed_at=LATER, ended_at=LATER)
    ],
    "rows that belong to nothing": [
        attempt(step=9, state="failed"),
        step(instance_id=OTHER),
        row("stimuli", id=1, instance_id=OTHER, kind="command"),
    ],
}
CASES = [(name, number) for name, plants in PLANTS.items() for number in range(len(plants))]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_what_is_planted_is_found_and_nothing_else(planted: Planted, name: str, number: int):
    PLANTS[name][number](planted)
    assert list(planted.problems()) == [name]


FINE: dict[str, Plant] = {
    "nothing": do(),
    "suspended": of("suspended"),
    "waits": do(of("waiting"), row("timers", step=1, kind="wait", due_at=LATER)),
    "undone": step(compensates=1),
    "undone in reverse": do(
        step(completion_number=2), step(3, compensates=2), step(4, compensates=1)
    ),
    "undone in vain": do(
        step(compensates=1, status="faulted"), letter(step=2, reason="compensation")
    ),
    "undone after the end": do(
        step(compensates=1), attempt(step=2, claimed_at=LATER, ended_at=LATER)
    ),
    "given up": do(GIVEN_UP, letter()),
    "heard": heard("one"),
    "talked": emitted(1),
    "paused": fired(1),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_as_it_must_be_is_not_found(planted: Planted, name: str):
    FINE[name](planted)
    assert planted.problems() == {}


def test_nothing_is_asked_that_was_not_seen_to_find_something():
    assert set(PLANTS) == {*audit.QUERIES, *audit.BESIDES}


def test_a_ledger_that_was_cut_keeps_its_whole_lines(tmp_path):
    file = tmp_path / "ledger"
    file.write_bytes(b'{"attempt": "a"}\n{"attem')
    assert audit.effects(file) == [{"attempt": "a"}]
    assert audit.effects(tmp_path / "none") == []
