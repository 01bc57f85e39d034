"""Each pair of hot transitions, through the State Manager on two sessions at once.

The first is stopped inside the statement that saves it, its rows changed and not committed; the
second is seen to wait; then the first is let go.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

import pytest
from psycopg2.errors import UniqueViolation

from orchestrator.database.instances import command_queries
from orchestrator.database.transitions import fast_paths, instance_slice_reader
from orchestrator.database.workers import worker_queries
from orchestrator.scheduler.lease_watchdog import LeaseWatchdog
from orchestrator.scheduler.maintenance_store import PostgresMaintenanceStore
from tests.support.api import Api, document
from tests.support.manual_workers import Outside
from tests.support.row_lock_races import Racers, first, racing, stopped_in_save, without

#: One after the other, and the first of them beside another.
ALONE = [{"a": {"call": "a"}}, {"b": {"call": "b"}}]
FORKED = [
    {"both": {"fork": {"branches": [{"a": {"call": "a"}}, {"x": {"call": "x"}}]}}},
    {"b": {"call": "b"}},
]
#: What a join relies on, and what finds it out where that is missing.
GUARDS = [
    ("lock_slice", "perform 1 from orchestrator.instances where id = p_instance for update;"),
    ("save_branch_end", "and sequence = p_expected"),
]
#: Commands as bulk operations and parents give them: notes, which a control worker brings.
SUSPEND, RESUME, CANCEL = ({"command": name} for name in ("suspend", "resume", "cancel"))
LOST = {"type": "lost", "status": 500, "detail": "it died"}

of_both = pytest.mark.parametrize("do", [ALONE, FORKED], ids=["alone", "forked"])


@pytest.fixture(scope="module")
def _application(module_database_url: str) -> Iterator[Api]:
    """With connections for as many sessions as race here; no broker listens there."""
    made = Api.on(module_database_url, "redis://127.0.0.1:1/0", database_pool=30)
    yield made
    made.close()


@pytest.fixture
def racers(api: Api) -> Iterator[Racers]:
    with racing(api.database) as racers:
        yield racers


def attempts(api: Api) -> list[tuple[Any, ...]]:
    return api.all("select task, state from orchestrator.attempts order by task, number")


def facts(api: Api, type: str) -> list[Any]:
    """The steps that the history says this of, by the names of their tasks."""
    rows = api.all(
        "select regexp_replace(coalesce(s.reference, ''), '.*/', '') from orchestrator.history h"
        " cross join json_array_elements(h.facts) f left join orchestrator.steps s"
        " on s.instance_id = h.instance_id and s.id = (f ->> 1)::int"
        " where f ->> 0 = %s order by 1",
        type,
    )
    return [row[0] for row in rows]


def completes(outside: Outside, id: str) -> list[str]:
    """Carry out the rest, and see that there was one end of each; the tasks that were left."""
    asked = outside.work(id)
    assert outside.instance(id)["status"] == "completed"
    done = facts(outside.api, "task.completed")
    assert len(done) == len(set(done))
    assert facts(outside.api, "workflow.completed") == [""]
    assert outside.api.content()["stimuli"] == 0
    return sorted(asked)


def race(outside: Outside, racers: Racers, *acts: Any) -> list[Any]:
    """Each act, a function with its arguments, meets the one before it; what they returned."""
    with stopped_in_save(outside.api.database):
        started: list[Future[Any]] = [racers.start(*act) for act in acts]
    return [racer.result() for racer in started]


# Ends of one attempt


@of_both
@pytest.mark.parametrize("won", ["completion", "loss"])
def test_of_the_completion_and_the_loss_of_an_attempt_the_first_counts(
    outside, api, racers, do, won
):
    id = outside.start(do)
    work = outside.claim(id)
    outside.state.report_lost_attempt(work.attempt.id, id, work.step.id, LOST)
    finish, lose = (outside.finish, work), (outside.state.process_inbox, id)
    race(outside, racers, *((finish, lose) if won == "completion" else (lose, finish)))
    task = work.attempt.task  # of a fork either one
    ends = [state for name, state in attempts(api) if name == task]
    tasks = ["a", "b"] if do is ALONE else ["a", "b", "x"]
    if won == "completion":
        assert ends == ["succeeded"]
        assert completes(outside, id) == [name for name in tasks if name != task]
    else:
        assert ends == ["lost", "ready"]
        assert facts(api, "task.completed") == []
        assert completes(outside, id) == tasks


def test_a_loss_told_again_while_the_first_telling_is_brought_changes_nothing(outside, api, racers):
    id = outside.start(ALONE)
    work = outside.claim(id)
    loss = (outside.state.report_lost_attempt, work.attempt.id, id, work.step.id, LOST)
    outside.state.report_lost_attempt(*loss[1:])
    race(outside, racers, (outside.state.process_inbox, id), loss)
    assert api.content()["stimuli"] == 1
    outside.state.process_inbox(id)
    assert attempts(api) == [("a", "lost"), ("a", "ready")]
    assert completes(outside, id) == ["a", "b"]


@of_both
@pytest.mark.parametrize("won", ["completion", "cancel"])
def test_a_completion_and_a_cancel_take_each_other_into_account(outside, api, racers, do, won):
    id = outside.start(do)
    work = outside.claim(id)
    command_queries.put(api.database, id, CANCEL)
    finish, cancel = (outside.finish, work), (outside.state.process_inbox, id)
    race(outside, racers, *((finish, cancel) if won == "completion" else (cancel, finish)))
    other = "x" if work.attempt.task == "a" else "a"
    rest = {other: "withdrawn"} if do is FORKED else {}
    if (do, won) == (ALONE, "completion"):
        rest = {"b": "withdrawn"}
    assert dict(attempts(api)) == {work.attempt.task: "succeeded"} | rest
    assert outside.instance(id)["status"] == "cancelled"
    assert facts(api, "workflow.cancelled") == [""]
    assert outside.work(id) == []


# Joins


@pytest.mark.parametrize("count", [2, 12])
def test_branches_that_end_at_once_join_once(outside, api, racers, count):
    branches = [{f"a{n:02}": {"call": "a"}} for n in range(count)]
    id = outside.start([{"all": {"fork": {"branches": branches}}}, {"b": {"call": "b"}}])
    works = [outside.claim(id) for _ in branches]
    race(outside, racers, *((outside.finish, work) for work in works))
    outside.state.process_inbox(id)
    assert attempts(api) == [("a", "succeeded")] * count + [("b", "ready")]
    assert outside.step(id, "all")["output"] == [{"by": "a"}] * count
    assert facts(api, "task.completed") == [*sorted(f"a{n:02}" for n in range(count)), "all"]
    assert completes(outside, id) == ["b"]


@pytest.mark.parametrize("guards", [1, 2])
def test_without_its_guards_a_join_fails(outside, api, racers, guards):
    """That these races are races. Behind each guard stands another, so nothing is lost: what
    was decided on rows that are no more can't be saved, and its result is left in the inbox."""
    id = outside.start(FORKED)
    finishing = [(outside.finish, outside.claim(id)) for _ in range(2)]
    with ExitStack() as broken:
        for function, guard in GUARDS[:guards]:
            broken.enter_context(without(api.database, function, guard))
        if guards == 2:
            broken.enter_context(pytest.raises(UniqueViolation))
        race(outside, racers, *finishing)
    if guards == 1:
        assert api.all("select kind from orchestrator.stimuli") == [("result",)]
        assert completes(outside, id) == ["b"]


@pytest.mark.parametrize("function", ["save_next_call", "save_last_call", "save_transition"])
def test_without_its_guard_an_end_fails_after_a_command(
    outside, api, racers, monkeypatch, function
):
    """The instance has moved on: behind the guard stands the history's key."""
    if function == "save_transition":
        monkeypatch.setattr(fast_paths, "fast_path_for", lambda _: None)
    id = outside.start(ALONE)
    work = outside.claim(id)
    if function == "save_last_call":
        outside.finish(work)
        work = outside.claim(id)
    command_queries.put(api.database, id, SUSPEND)
    with (
        without(api.database, function, "and sequence = p_expected"),
        pytest.raises(UniqueViolation),
    ):
        race(outside, racers, (outside.state.process_inbox, id), (outside.finish, work))


#: Either one refuses whoever brings a start that has been brought.
OF_A_START = {
    "the version": "and sequence = p_expected",
    "the stimulus": """  if not found then
    raise exception 'stimulus % was consumed', p_stimulus_id using errcode = 'OR001';
  end if;
""",
}


@pytest.mark.parametrize("missing", OF_A_START)
def test_without_one_of_its_guards_a_start_is_brought_once(outside, api, racers, missing):
    api.deploy(document("order", do=ALONE))
    id = api.start("order")
    with without(api.database, "save_first_call", OF_A_START[missing]):
        race(outside, racers, (outside.state.process_inbox, id), (outside.state.process_inbox, id))
    assert facts(api, "workflow.started") == [""]
    assert completes(outside, id) == ["a", "b"]


# The inbox


def test_of_two_who_bring_one_note_one_does(outside, api, racers):
    id = outside.start(ALONE)
    command_queries.put(api.database, id, SUSPEND)
    race(outside, racers, (outside.state.process_inbox, id), (outside.state.process_inbox, id))
    assert facts(api, "workflow.suspended") == [""]
    assert outside.instance(id)["status"] == "suspended"
    assert api.content()["stimuli"] == 0


def test_a_note_put_in_while_the_only_other_is_brought_is_not_lost(outside, api, racers):
    """Who brings the only note of an inbox does not look there again: what comes later has a
    hint of its own, and whoever comes by that finds it."""
    id = outside.start(ALONE)
    command_queries.put(api.database, id, SUSPEND)
    with stopped_in_save(api.database):
        draining = racers.start(outside.state.process_inbox, id)
        command_queries.put(api.database, id, RESUME)
    draining.result()
    assert outside.instance(id)["status"] == "suspended"
    assert api.all("select data ->> 'command' from orchestrator.stimuli") == [("resume",)]
    outside.state.process_inbox(id)
    assert outside.instance(id)["status"] == "running"
    assert completes(outside, id) == ["a", "b"]


def test_a_note_whose_hint_comes_while_another_is_brought_waits_for_that(outside, api, racers):
    """Its bringer sees the other's note too, not yet gone; and finds its own once it is."""
    id = outside.start(ALONE)
    command_queries.put(api.database, id, SUSPEND)
    with stopped_in_save(api.database):
        suspending = racers.start(outside.state.process_inbox, id)
        command_queries.put(api.database, id, RESUME)
        resuming = racers.start(outside.state.process_inbox, id)
    suspending.result()
    resuming.result()
    assert (facts(api, "workflow.suspended"), facts(api, "workflow.resumed")) == ([""], [""])
    assert completes(outside, id) == ["a", "b"]


def test_a_note_that_commits_after_a_later_one_was_brought_is_not_lost(outside, api):
    """Its number is smaller, and nobody could see it."""
    id = outside.start(ALONE)
    with first(api.database) as session:
        command_queries.put(session, id, RESUME)
        command_queries.put(api.database, id, SUSPEND)
        outside.state.process_inbox(id)
        assert outside.instance(id)["status"] == "suspended"
    outside.state.process_inbox(id)
    assert outside.instance(id)["status"] == "running"
    assert completes(outside, id) == ["a", "b"]


# Claims


def test_a_claim_during_a_suspend_waits_and_is_refused(outside, api, racers):
    id = outside.start(ALONE)
    ((attempt,),) = api.all("select id::text from orchestrator.attempts")
    command_queries.put(api.database, id, SUSPEND)
    claim = (outside.state.claim_attempt, attempt, id, "a", outside.holder)
    assert race(outside, racers, (outside.state.process_inbox, id), claim) == [None, None]
    assert attempts(api) == [("a", "withdrawn")]
    assert outside.instance(id)["status"] == "suspended"
    outside.command(id, "resume")
    assert attempts(api) == [("a", "withdrawn"), ("a", "ready")]
    assert completes(outside, id) == ["a", "b"]


def test_a_suspend_during_a_claim_waits_and_lets_it_run(outside, api, racers):
    id = outside.start(ALONE)
    ((attempt,),) = api.all("select id::text from orchestrator.attempts")
    command_queries.put(api.database, id, SUSPEND)
    holder = outside.holder
    with first(api.database) as session:
        instance_slice_reader.claim(session, attempt, id, "a", holder.worker, holder.process, "a.0")
        suspending = racers.start(outside.state.process_inbox, id)
    suspending.result()
    assert attempts(api) == [("a", "claimed")]
    assert outside.instance(id)["status"] == "suspended"
    outside.finish(outside.state.claim_attempt(attempt, id, "a", holder, "a.0"))
    assert attempts(api) == [("a", "succeeded")]
    outside.command(id, "resume")
    assert completes(outside, id) == ["b"]


# Leases


@pytest.mark.parametrize("arrives", [True, False])
def test_a_watchdog_counts_a_heartbeat_from_its_commit_on(outside, api, arrives):
    """And doesn't wait for one that is on its way: other leases may be running out."""
    id = outside.start(ALONE)
    work = outside.claim(id)
    moment = [0.0]
    watchdog = LeaseWatchdog(
        PostgresMaintenanceStore(api.database), outside.state, 9.0, lambda: moment[-1]
    )
    with first(api.database, undone=not arrives) as beating:
        worker_queries.heartbeat(beating, work.owner.worker, [work.attempt.id], 0)
        for now in (1.0, 4.0, 7.0, 10.0):  # a third of a lease each, at most
            moment.append(now)
            assert watchdog.check() == 0
    moment.append(11.0)
    assert watchdog.check() == (0 if arrives else 1)
    assert api.content()["stimuli"] == (0 if arrives else 1)
