"""Decisions that take long: their lease, and the row lock that no expression is evaluated under."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from orchestrator.core.model import StimulusKind
from orchestrator.database.connection.database import Database
from orchestrator.expressions import EvaluatorUnavailable
from orchestrator.ids import new_id
from orchestrator.state_manager import Decider, Deliberation, LeaseOwner, StateManager
from tests.support.manual_workers import Outside

SLOW = "${ [.n] | first }"
ALONE = [{"a": {"call": "a"}}, {"b": {"set": {"x": SLOW}}}]
WAITING = [{"w": {"wait": {"hours": 1}}}, {"s": {"set": {"x": SLOW}}}]
FORKED = [
    {
        "f": {
            "fork": {
                "branches": [
                    {"a": {"do": [{"w": {"wait": {"hours": 1}}}, {"s": {"set": {"x": SLOW}}}]}},
                    {"x": {"call": "x"}},
                ]
            }
        }
    }
]


class SlowSandbox:
    """The real one, but each program takes long, and something happens meanwhile."""

    def __init__(self, outside: Outside) -> None:
        services = outside.api.client.application.extensions["orchestrator"].services
        self.evaluator = services.evaluator
        self.meanwhile: list[Callable[[], Any]] = []
        self.ran = 0

    def run(self, program, data, cpu=None, patience=0.0, on_slow=None):
        self.ran += 1
        if on_slow is not None:
            on_slow()
        while self.meanwhile:
            self.meanwhile.pop(0)()
        return self.evaluator.sandbox.run(program, data, cpu)

    def state(self, real: StateManager) -> StateManager:
        deliberate = partial(Deliberation, self.evaluator.evaluate, self.run)
        return replace(real, runner=replace(real.runner, deliberate=deliberate))


@pytest.fixture
def slow(outside: Outside) -> SlowSandbox:
    return SlowSandbox(outside)


def hinted(state: StateManager, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(type(state.dispatcher), "hint", lambda _, *ids: told.extend(ids))
    return told


def wakes(outside: Outside, id: str) -> None:
    """The branch that waits is woken: its note stands in the inbox."""
    ((step,),) = outside.api.all(
        "select id from orchestrator.steps where instance_id = %s and kind = 'wait'", id
    )
    outside.state.store.put_stimulus(id, StimulusKind.TIMER, step=step, data={"kind": "wait"})


def leases(outside: Outside) -> list[Any]:
    return outside.api.all("select instance_id::text, token from orchestrator.decision_leases")


def put(outside: Outside, id: str, command: str) -> None:
    outside.state.store.put_stimulus(id, StimulusKind.COMMAND, data={"command": command})


def test_nothing_is_evaluated_under_the_row_lock(outside, slow, module_database_url):
    id = outside.start(FORKED, input={"n": 1})
    wakes(outside, id)
    other = Database(module_database_url, size=1)

    def lock() -> None:
        with other.transaction() as transaction:
            found = transaction.one(
                "select 1 from orchestrator.instances where id = %s for update nowait", (id,)
            )
        assert found == (1,)

    slow.meanwhile.append(lock)
    slow.state(outside.state).process_inbox(id)
    other.close()
    assert slow.ran == 1
    assert outside.step(id, "s")["output"] == {"x": 1}


def test_an_instance_that_changes_each_time_is_decided_all_the_same(outside, slow):
    """Its input changes the expression's, so that what was evaluated is of no use."""
    id = outside.start(FORKED, input={"n": 1})
    wakes(outside, id)

    def change() -> None:
        outside.api.all(
            "update orchestrator.steps set input = json_build_object('n', %s::int)"
            " where instance_id = %s and kind = 'wait'",
            slow.ran + 1,
            id,
        )
        slow.meanwhile.append(change)

    slow.meanwhile.append(change)

    def run(program, data, cpu=None, patience=0.0, on_slow=None):
        slow.ran += 1
        if on_slow is not None:
            on_slow()
        if cpu is None:  # outside of the lock
            slow.meanwhile.pop()()
        return slow.evaluator.sandbox.run(program, data, cpu)

    slow.run = run
    slow.state(outside.state).process_inbox(id)
    assert slow.ran == 4
    assert outside.step(id, "s")["output"] == {"x": 4}


def test_who_meets_a_lease_leaves_at_once_and_without_a_hint(outside, slow, monkeypatch):
    id = outside.start(ALONE, input={"n": 1})
    told = hinted(outside.state, monkeypatch)
    work = outside.claim(id)
    slow_state = slow.state(outside.state)
    # A result's decision takes no lease, so the step is left to the inbox.
    outside.state.store.put_stimulus(
        id,
        StimulusKind.RESULT,
        step=work.step.id,
        attempt=work.attempt.id,
        data={"attempt": work.attempt.id, "state": "succeeded", "output": {"n": 2}},
    )
    met: list[Any] = []
    slow.meanwhile.append(lambda: met.append(slow_state.process_inbox(id)))
    slow_state.process_inbox(id)
    assert met == [None]
    assert slow.ran == 1
    assert told == []
    assert outside.instance(id)["status"] == "completed"
    assert leases(outside) == []


def test_what_comes_meanwhile_is_read_by_the_holder(outside, slow, monkeypatch):
    """Who brings it meets the lease and goes away: without another look it would wait for a
    beat."""
    id = outside.start(WAITING, input={"n": 1})
    wakes(outside, id)
    told = hinted(outside.state, monkeypatch)
    slow_state = slow.state(outside.state)

    def bring() -> None:
        put(outside, id, "cancel")
        slow_state.process_inbox(id)

    slow.meanwhile.append(bring)
    slow_state.process_inbox(id)
    assert outside.instance(id)["status"] == "completed"
    assert len(outside.told(id, "command.refused")) == 1, "it came too late, and was judged"
    assert outside.api.all("select id from orchestrator.stimuli") == []
    assert told == []


def test_an_expired_lease_is_taken_over_and_the_first_holder_saves_nothing(outside, slow):
    id = outside.start(FORKED, input={"n": 1})
    wakes(outside, id)
    first, second = slow.state(outside.state), SlowSandbox(outside).state(outside.state)

    def take_over() -> None:
        outside.api.all(
            "update orchestrator.decision_leases set expires_at = now() - interval '1 s'"
        )
        second.process_inbox(id)

    slow.meanwhile.append(take_over)
    first.process_inbox(id)
    rows = outside.api.get(f"/v1/instances/{id}/history").json["items"]
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(outside.told(id, "task.completed")) == 3, "w, s and the list around them"
    assert leases(outside) == []


def test_the_process_and_its_lease_are_lost_together(outside, slow, monkeypatch):
    id = outside.start(FORKED, input={"n": 1})
    wakes(outside, id)
    lost = LeaseOwner(outside.holder.worker, 99)
    reports: list[str | None] = []
    decider = Decider(lost, reports.append)

    class Killed(BaseException):
        pass

    def die() -> None:
        assert [row[0] for row in leases(outside)] == [id]
        monkeypatch.setattr(type(outside.state.store), "end_decision_lease", lambda *_: None)
        raise Killed

    slow.meanwhile.append(die)
    with pytest.raises(Killed):
        slow.state(outside.state).process_inbox(id, decider=decider)
    assert reports == [id, None]
    assert outside.state.process_inbox(id) is None
    assert outside.step(id, "w")["status"] == "waiting", "the lease keeps others out"
    told = hinted(outside.state, monkeypatch)
    outside.state.report_lost_process(lost, {"type": "lost", "status": 500, "detail": "it died"})
    assert told == [id]
    outside.state.process_inbox(id)
    assert outside.step(id, "s")["output"] == {"x": 1}


def test_the_third_begin_faults_the_step(outside, slow, monkeypatch):
    id = outside.start(FORKED, input={"n": 1})
    wakes(outside, id)

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    with monkeypatch.context() as dead:
        dead.setattr(type(outside.state.store), "end_decision_lease", lambda *_: None)
        for _ in range(2):
            slow.meanwhile.append(die)
            with pytest.raises(Killed):
                slow.state(outside.state).process_inbox(id)
            outside.api.all("delete from orchestrator.decision_leases")
    ran = slow.ran
    slow.state(outside.state).process_inbox(id)
    assert slow.ran == ran
    assert outside.step(id, "w")["status"] == "faulted"
    letters = outside.api.get("/v1/dead-letters").json["items"]
    assert [(letter["instance"], letter["reason"]) for letter in letters] == [(id, "undecided")]
    (row,) = [
        row[0]
        for row in outside.api.all(
            "select stimulus from orchestrator.history where instance_id = %s"
            " order by sequence desc limit 1",
            id,
        )
    ]
    assert row["undecidable"] is True


def test_a_machine_that_cannot_evaluate_faults_nothing(outside, slow):
    """The decision was not begun: its process lives, and says so."""
    id = outside.start(FORKED, input={"n": 1})
    wakes(outside, id)

    def overloaded() -> None:
        raise EvaluatorUnavailable("it did not answer in time")

    for _ in range(3):
        slow.meanwhile.append(overloaded)
        slow.state(outside.state).process_inbox(id)
        assert leases(outside) == []
    outside.state.process_inbox(id)
    assert outside.step(id, "s")["output"] == {"x": 1}


def test_a_beat_leaves_leased_instances_alone(outside):
    from orchestrator.database.transitions import inbox_queries

    id = outside.start(FORKED, input={"n": 1})
    put(outside, id, "suspend")
    outside.api.all("update orchestrator.stimuli set created_at = created_at - interval '1 minute'")
    store = outside.state.store
    ((stimulus,),) = outside.api.all("select id from orchestrator.stimuli")
    assert store.take_decision_lease(id, stimulus, "t", None, None, 60) == (True, 1)
    assert inbox_queries.overdue(outside.api.database, 4) == []
    store.end_decision_lease(id, stimulus, "t")
    assert [one.id for one in inbox_queries.overdue(outside.api.database, 4)] == [stimulus]
    assert outside.api.all("select begun from orchestrator.stimuli") == [(0,)]


def test_a_lease_is_renewed_for_its_worker_only(outside):
    from orchestrator.database.transitions import decision_lease_queries

    id = outside.start(FORKED, input={"n": 1})
    put(outside, id, "suspend")
    store, worker = outside.state.store, new_id()
    ((stimulus,),) = outside.api.all("select id from orchestrator.stimuli")
    store.take_decision_lease(id, stimulus, "t", worker, 1, -1)
    for owner, expired in ((new_id(), True), (worker, False)):
        decision_lease_queries.renew(outside.api.database, owner, [id], 60)
        assert outside.api.all(
            "select expires_at < clock_timestamp() from orchestrator.decision_leases"
        ) == [(expired,)]


def test_a_long_transition_commits_what_it_has(outside, slow, monkeypatch):
    """The number of its items is part of the history."""
    tasks = [{f"s{n}": {"set": {"x": SLOW, "n": n}}} for n in range(6)]
    outside.api.deploy({**_document(tasks)})
    id = outside.api.start("long", input={"n": 1})

    def run(program, data, cpu=None, patience=0.0, on_slow=None):
        return replace(slow.evaluator.sandbox.run(program, data, cpu), cpu=0.3)

    slow.run = run
    slow.state(outside.state).process_inbox(id)
    assert outside.instance(id)["status"] == "completed"
    rows = outside.api.all(
        "select stimulus from orchestrator.history where instance_id = %s order by sequence", id
    )
    assert len(rows) > 1
    assert all(row[0]["items"] >= 1 for row in rows[:-1])


def _document(tasks: list[Any]) -> dict[str, Any]:
    from tests.support.api import document

    return document("long", do=tasks)
