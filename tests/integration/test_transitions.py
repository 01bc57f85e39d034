"""The statements of the hot path on Postgres: fences, tokens, one snapshot, one winner."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator import clock, ids
from orchestrator.core.model import (
    Attempt,
    AttemptEnd,
    AttemptState,
    Fact,
    Instance,
    Need,
    Status,
    Step,
    Stimulus,
    StimulusKind,
    Timer,
    TimerKind,
)
from orchestrator.database.connection.database import (
    LOCKING,
    Database,
    Fenced,
    LockTimeout,
    Superseded,
)
from orchestrator.database.schedules import timer_queries
from orchestrator.database.schedules.idle_check import next_due
from orchestrator.database.transitions import fast_paths, inbox_queries, instance_slice_reader
from orchestrator.database.transitions.save_request import (
    Fence,
    LocalClaim,
    SaveRequest,
    SiblingClaim,
)
from orchestrator.database.transitions.transition_writer import save
from orchestrator.database.workers import unclaimed_attempts, worker_queries
from tests.support.row_lock_races import waiting
from tests.support.transitions import (
    NOW,
    WORKER,
    a_step,
    an_hour_ago,
    an_instance,
    claimed,
    ready,
    saving,
    started,
)


@pytest.fixture
def instance(database: Database) -> str:
    return an_instance(database)


def test_a_transition_is_saved_whole(database, instance):
    after, attempt = started(database, instance)
    assert (after.sequence, after.status) == (1, Status.RUNNING)
    assert after.input == {"nul": "\0"}
    assert instance_slice_reader.read_inbox(database, instance) is None
    assert database.all("select sequence, seed, stimulus, facts from orchestrator.history") == [
        (1, 7, {"kind": "start"}, [["workflow.started", None], ["task.started", 1]])
    ]
    snapshot = claimed(database, instance, attempt)
    assert snapshot is not None
    assert snapshot.slice.steps[1].input == {"nul": "\0"}


def test_a_save_on_an_old_version_changes_nothing(database, instance):
    after, _ = started(database, instance)
    with pytest.raises(Superseded):
        save(database, saving(replace(after, sequence=0), created=(a_step(2),)))
    assert database.one("select count(*) from orchestrator.steps") == (1,)


def test_a_claim_is_refused_for_another_task_a_second_token_or_a_withdrawn_attempt(
    database, instance
):
    after, attempt = started(database, instance)
    assert claimed(database, instance, replace(attempt, task="shop.other")) is None
    assert claimed(database, instance, attempt, "a.0") is not None
    assert claimed(database, instance, attempt, "b.0") is None
    assert claimed(database, instance, attempt, "a.0") is not None  # a lost reply, asked again
    other = Attempt(ids.new_id(), 2, 1, "shop.charge")
    save(database, saving(after, created=(a_step(2),), attempts=(other,)))
    save(database, saving(replace(after, sequence=2), withdrawn=(2,)))
    assert claimed(database, instance, other) is None


def test_a_fence_stops_whoever_lost_the_attempt(database, instance):
    after, attempt = started(database, instance)
    claimed(database, instance, attempt, "a.0")
    ended = AttemptEnd(attempt.id, AttemptState.SUCCEEDED)
    with pytest.raises(Fenced):
        save(database, saving(after, ended=(ended,), fence=Fence(attempt.id, "b.0")))
    assert not instance_slice_reader.ended_under_token(database, attempt.id, "b.0")
    save(database, saving(after, ended=(ended,), fence=Fence(attempt.id, "a.0")))
    assert instance_slice_reader.ended_under_token(database, attempt.id, "a.0")


def test_a_task_that_shows_its_progress_hears_whether_anybody_wants_its_result(database, instance):
    after, attempt = started(database, instance)
    claimed(database, instance, attempt, "a.0")
    assert unclaimed_attempts.save_progress(database, attempt.id, "a.0", '{"percent": 10}') is True
    assert (
        unclaimed_attempts.save_progress(database, attempt.id, "b.0", "{}") is False
    )  # another one's by now
    save(database, saving(after, withdrawn=(1,)))
    assert unclaimed_attempts.save_progress(database, attempt.id, "a.0", '{"percent": 20}') is False
    shown = database.one("select progress->>'percent' from orchestrator.attempts")
    assert shown == ("20",)


def test_an_attempt_taken_at_once_is_born_claimed_and_found_by_its_token(database, instance):
    after, attempt = started(database, instance)
    claimed(database, instance, attempt, "a.0")
    following = Attempt(ids.new_id(), 2, 1, "shop.charge")
    save(
        database,
        saving(
            after,
            created=(a_step(2),),
            attempts=(following,),
            ended=(AttemptEnd(attempt.id, AttemptState.SUCCEEDED),),
            fence=Fence(attempt.id, "a.0"),
            taken=LocalClaim(following.id, WORKER, 1, "a.1"),
        ),
    )
    found = instance_slice_reader.claimed_under_token(database, instance, "a.1")
    assert found is not None and found.slice.attempt is not None
    assert found.slice.attempt.id == following.id
    assert claimed(database, instance, following, "c.0") is None


FAST = {
    "first": "save_first_call",
    "following": "save_next_call",
    "last": "save_last_call",
    "branch": "save_branch_end",
}


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("which", FAST)
def test_the_commonest_transitions_have_ways_of_their_own_to_the_same_rows(
    database, monkeypatch, which, taken
):
    rows = []
    for recognised in (True, False):
        id = ids.new_id()
        database.all(
            "insert into orchestrator.instances (id, namespace, workflow_id, workflow, version)"
            " values (%s, 'shop', %s, 'order', '1.0.0')",
            (id, ids.new_id()),
        )
        inbox_queries.put(database, id, StimulusKind.START)
        told = COMMON[which](database, id, taken)
        with monkeypatch.context() as patch:
            assert f"orchestrator.{FAST[which]}(" in statement_of(told)
            if not recognised:
                patch.setattr(fast_paths, "fast_path_for", lambda _: None)
            save(database, told)
            assert_refused(database, told)
        rows.append(everything_of(database, id))
    assert rows[0] == rows[1]


def statement_of(told: SaveRequest) -> str:
    """How it is saved."""
    found = fast_paths.fast_path_for(told)
    assert found is not None
    return found(told, {}, [])[0]


def the_first(database: Database, id: str, taken: bool) -> SaveRequest:
    """An instance starts, and its first step."""
    snapshot = instance_slice_reader.read_inbox(database, id)
    assert snapshot is not None and snapshot.stimulus is not None
    attempt = Attempt(ids.new_id(), 1, 1, "shop.charge", priority=5, time_limit=2.5)
    return saving(
        snapshot.slice.instance,
        Stimulus(StimulusKind.START, NOW, 7, id=snapshot.stimulus["id"]),
        instance={"status": Status.RUNNING, "last_number": 1, "open_places": 1, "started_at": NOW},
        created=(
            a_step(1, input=[1], call={"kind": "celery"}, raw_input=2, index=1, compensated_by="u"),
        ),
        attempts=(attempt,),
        taken=LocalClaim(attempt.id, WORKER, 1, "a.1") if taken else None,
        facts=(Fact("workflow.started"), Fact("task.started", 1)),
    )


def the_following(database: Database, id: str, taken: bool) -> SaveRequest:
    """A step completes, and the next one starts."""
    after, attempt = started(database, id)
    snapshot = claimed(database, id, attempt, "a.0")
    assert snapshot is not None
    return the_commonest(after, attempt, snapshot.slice.steps, taken)


def completed(step: Step) -> Step:
    """The step after its success."""
    return replace(
        step,
        status=Status.COMPLETED,
        completion_number=2,
        compensated_by="able",
        output={"n": 1},
        ended_at=NOW,
    )


def the_last(database: Database, id: str, _: bool) -> SaveRequest:
    """A step completes, and the instance with it."""
    after, attempt = started(database, id)
    snapshot = claimed(database, id, attempt, "a.0")
    assert snapshot is not None
    done = completed(snapshot.slice.steps[1])
    return saving(
        after,
        Stimulus(StimulusKind.RESULT, NOW, 7, step=1),
        steps=snapshot.slice.steps,
        instance={
            "status": Status.COMPLETED, "last_number": 2, "open_places": 0, "output": ["\0"],
            "ended_at": NOW,
        },
        changed=(done,),
        ended=(AttemptEnd(attempt.id, AttemptState.SUCCEEDED),),
        fence=Fence(attempt.id, "a.0"),
        facts=(Fact("task.completed", 1), Fact("workflow.completed")),
    )  # fmt: skip


def the_branch(database: Database, id: str, _: bool) -> SaveRequest:
    """One of three branches of step 9 completes."""
    after, attempt = started(database, id)
    fork = a_step(9, open_children=3, scope={"a": 1})
    save(database, saving(after, created=(fork,)))
    snapshot = claimed(database, id, attempt, "a.0")
    assert snapshot is not None
    done = completed(snapshot.slice.steps[1])
    return saving(
        snapshot.slice.instance,
        Stimulus(StimulusKind.RESULT, NOW, 7, step=1),
        steps={**snapshot.slice.steps, 9: fork},
        instance={"last_number": 2, "open_places": 2},
        changed=(done, replace(fork, open_children=2)),
        ended=(AttemptEnd(attempt.id, AttemptState.SUCCEEDED),),
        fence=Fence(attempt.id, "a.0"),
        facts=(Fact("task.completed", 1),),
    )


COMMON = {
    "first": the_first,
    "following": the_following,
    "last": the_last,
    "branch": the_branch,
}


def the_commonest(
    after: Instance, attempt: Attempt, steps: Mapping[int, Step], taken: bool
) -> SaveRequest:
    """The step of an attempt that "a.0" holds completes, and step 3 starts."""
    done = completed(steps[1])
    following = Attempt(ids.new_id(), 3, 1, "shop.charge", priority=5, time_limit=2.5)
    return saving(
        after,
        Stimulus(StimulusKind.RESULT, NOW, 7, step=1),
        steps=steps,
        instance={"last_number": 3},
        changed=(done,),
        created=(a_step(3, input=[1], call={"kind": "celery"}, raw_input=2, index=1),),
        attempts=(following,),
        ended=(AttemptEnd(attempt.id, AttemptState.SUCCEEDED),),
        fence=Fence(attempt.id, "a.0"),
        taken=LocalClaim(following.id, WORKER, 1, "a.1") if taken else None,
        facts=(Fact("task.completed", 1), Fact("task.started", 3)),
    )


def test_a_wish_for_a_sibling_is_met_by_the_commonest_transition_too(database, instance):
    first, second = ready(database, instance, 2)
    snapshot = claimed(database, instance, first, "a.0")
    assert snapshot is not None
    told = the_commonest(snapshot.slice.instance, first, snapshot.slice.steps, taken=False)
    assert fast_paths.fast_path_for(told) is not None
    wish = SiblingClaim(second.task, "celery", WORKER, 1, "a.1")
    with database.transaction() as locked:
        found = save(locked, replace(told, sibling=wish))
    assert found is not None and found.slice.attempt is not None
    assert found.slice.attempt.id == second.id


def assert_refused(database: Database, told: SaveRequest) -> None:
    with pytest.raises(Superseded):
        save(database, told)
    now = replace(told.instance_before, sequence=told.instance_before.sequence + 1)
    with pytest.raises(Fenced if told.fence else Superseded):
        save(database, replace(told, slice=replace(told.slice, instance=now)))


def everything_of(database: Database, id: str) -> list[object]:
    """All rows of an instance, without ids and the database's own times."""
    left_out = {"id", "instance_id", "workflow_id", "created_at", "published_at", "claimed_at"}
    found: list[object] = []
    for table, key in (("instances", "id"), ("steps", "instance_id"), ("attempts", "instance_id")):
        for (row,) in database.all(
            f"select row_to_json(t) from orchestrator.{table} t where t.{key} = %s order by t.id",
            (id,),
        ):
            times = {name: row[name] is not None for name in left_out & set(row)}
            ended = row.pop("ended_at", None) is not None
            rest = {name: value for name, value in row.items() if name not in left_out}
            found.append((table, rest, times, ended))
    found.append(
        database.all(
            "select sequence, seed, stimulus, facts from orchestrator.history"
            " where instance_id = %s order by sequence",
            (id,),
        )
    )
    return found


def test_of_many_savers_of_one_version_one_wins(database, database_url, instance):
    after, _ = started(database, instance)
    won: list[int] = []

    def race(number: int) -> None:
        mine = Database(database_url)
        try:
            save(mine, saving(after, created=(a_step(number),)))
            won.append(number)
        except Superseded:
            pass
        finally:
            mine.close()

    threads = [threading.Thread(target=race, args=(n,)) for n in range(2, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert database.all("select id from orchestrator.steps where id > 1") == [(won[0],)]


def test_a_claim_during_a_withdrawal_waits_and_is_refused(database, database_url, instance):
    after, attempt = started(database, instance)
    answers: list[object] = []
    other = Database(database_url)
    with database.transaction(LOCKING) as cursor:
        slice = instance_slice_reader.lock_slice(cursor, instance, None, None).slice
        loaded = instance_slice_reader.load(cursor, slice, Need("open"))
        assert [(step.id, one.id) for step, one in loaded.loaded[Need("open")]] == [(1, attempt.id)]
        claimer = threading.Thread(target=lambda: answers.append(claimed(other, instance, attempt)))
        claimer.start()
        while not waiting(other):
            pass
        save(cursor, saving(after, withdrawn=(1,)))
    claimer.join()
    other.close()
    assert answers == [None]


def test_a_lock_that_cannot_be_had_in_time_is_busy(database, database_url, instance):
    other = Database(database_url)
    with database.transaction(LOCKING) as cursor:
        instance_slice_reader.lock_slice(cursor, instance, None, None)
        with pytest.raises(LockTimeout), other.transaction(LOCKING) as second:
            instance_slice_reader.lock_slice(second, instance, None, None)
    other.close()


def test_a_due_timer_becomes_one_stimulus_and_a_later_one_stays(database, instance):
    after, _ = started(database, instance)
    later = Timer(1, TimerKind.TIMEOUT, clock.now() + timedelta(hours=1))
    save(database, saving(after, timers=(Timer(1, TimerKind.WAIT, NOW), later)))
    assert timer_queries.fire(database).instances == (instance,)
    assert timer_queries.fire(database).instances == ()
    snapshot = instance_slice_reader.read_inbox(database, instance)
    assert snapshot is not None and snapshot.stimulus is not None
    assert (snapshot.stimulus["kind"], snapshot.stimulus["data"]) == ("timer", {"kind": "wait"})
    assert 3500 < (next_due(database) or 0) < 3601
    save(database, saving(replace(after, sequence=2), timers_removed=(1,)))
    assert next_due(database) is None


def test_suspended_instances_take_commands_and_results_only(database, instance):
    after, _ = started(database, instance)
    save(database, saving(after, instance={"status": Status.SUSPENDED}))
    inbox_queries.put(database, instance, StimulusKind.TIMER, data={"kind": "wait"})
    assert instance_slice_reader.read_inbox(database, instance) is None
    assert inbox_queries.overdue(database, 0) == []
    inbox_queries.put(database, instance, StimulusKind.COMMAND, data={"command": "resume"})
    snapshot = instance_slice_reader.read_inbox(database, instance)
    assert snapshot is not None and snapshot.stimulus is not None
    assert snapshot.stimulus["kind"] == "command"
    assert [note.instance for note in inbox_queries.overdue(database, 0)] == [instance]


def test_a_note_that_goes_on_waiting_is_hinted_less_and_less_often(database, instance):
    started(database, instance)
    inbox_queries.put(database, instance, StimulusKind.COMMAND, data={"command": "cancel"})
    for created, hinted, due in ((3, None, False), (5, None, True), (20, 9, False),
                                 (20, 12, True), (600, 50, False), (600, 61, True)):  # fmt: skip
        database.all(
            "update orchestrator.stimuli set created_at = clock_timestamp() - %s * interval '1 s',"
            " hinted_at = clock_timestamp() - %s * interval '1 s'",
            (created, hinted),
        )
        assert [note.instance for note in inbox_queries.overdue(database, 4)] == [instance] * due
        assert inbox_queries.overdue(database, 4) == []


def test_some_of_the_notes_that_wait_are_hinted_the_newest_and_the_oldest(database, instance):
    started(database, instance)
    for _ in range(9):
        inbox_queries.put(database, instance, StimulusKind.AGENDA)
    rows = database.all("select id from orchestrator.stimuli order by id")
    database.all("update orchestrator.stimuli set created_at = created_at - interval '5 s'")
    ids = [row[0] for row in rows]
    first = [note.id for note in inbox_queries.overdue(database, 4, 5)]
    assert first == [ids[8], ids[7], ids[6], ids[1], ids[0]]
    rest = [note.id for note in inbox_queries.overdue(database, 4, 5)]
    assert rest == ids[5:1:-1]
    assert inbox_queries.count_pending(database, [*first, 0]) == 5
    inbox_queries.delete_stimulus(database, ids[8])
    assert inbox_queries.count_pending(database, first) == 4


def test_what_is_overtaken_is_published_again_and_a_backlog_is_not(database, instance):
    after, overtaken = started(database, instance)
    late = Attempt(ids.new_id(), 2, 1, "shop.charge")
    save(database, saving(after, created=(a_step(2),), attempts=(late,)))
    assert unclaimed_attempts.claim_lost_messages(database, 60) == []
    an_hour_ago(database, "published_at")
    assert (
        unclaimed_attempts.claim_lost_messages(database, 60) == []
    )  # nobody lives who could be free
    claimed(database, instance, late)
    database.all(
        "update orchestrator.attempts set claimed_at = clock_timestamp() - interval '2 min',"
        " published_at = clock_timestamp() - interval '50 min' where id = %s",
        (late.id,),
    )
    assert [one.id for one in unclaimed_attempts.claim_lost_messages(database, 60)] == [
        overtaken.id
    ]
    assert unclaimed_attempts.claim_lost_messages(database, 60) == []  # its patience starts anew


def test_what_threads_refuse_is_handed_on_to_processes_and_its_patience_does_not_double(
    database, instance
):
    after, unlimited = started(database, instance)
    limited = Attempt(ids.new_id(), 2, 1, "shop.charge", time_limit=5)
    save(database, saving(after, created=(a_step(2),), attempts=(limited,)))
    threads, processes = ids.new_id(), ids.new_id()
    for id, pool in ((threads, "threads"), (processes, "prefork")):
        worker_queries.register(
            database, worker_queries.WorkerRow(id, pool, 1, pool, 1, ["celery"], ["shop.charge"])
        )
    stood = "select publish_count, refused_at is null from orchestrator.attempts where id = %s"
    for one in (limited, unlimited):
        unclaimed_attempts.mark_refused(database, one.id)  # forged where the attempt needs no limit
    assert database.one(stood, (unlimited.id,)) == (1, True)

    worker_queries.stop(database, processes)
    assert (
        unclaimed_attempts.claim_refused_messages(database, 60) == []
    )  # only threads live, which would refuse again
    assert worker_queries.heartbeat(database, processes, [], free_slots=0)
    assert (
        unclaimed_attempts.claim_refused_messages(database, 60) == []
    )  # a moment ago: it is busy, and frees a slot
    database.all("update orchestrator.attempts set published_at = published_at - interval '61 s'")
    for _ in range(3):
        assert [one.id for one in unclaimed_attempts.claim_refused_messages(database, 60)] == [
            limited.id
        ]
        assert (
            unclaimed_attempts.claim_refused_messages(database, 60) == []
        )  # its message is under way
        assert worker_queries.heartbeat(database, processes, [], free_slots=1)
        unclaimed_attempts.mark_refused(database, limited.id)
    assert database.one(stood, (limited.id,)) == (1, False)


def test_what_a_worker_does_not_know_is_handed_on_to_one_that_does(database, instance):
    _, attempt = started(database, instance)
    stood = "select publish_count, refused_at is null from orchestrator.attempts where id = %s"
    unclaimed_attempts.mark_refused(database, attempt.id, "shop.forged")
    assert database.one(stood, (attempt.id,)) == (1, True)

    new, old = ids.new_id(), ids.new_id()
    for id, pool, tasks in ((old, "prefork", ["other"]), (new, "threads", [attempt.task])):
        worker_queries.register(
            database, worker_queries.WorkerRow(id, pool, 1, pool, 1, ["celery"], tasks)
        )
    worker_queries.stop(database, new)
    unclaimed_attempts.mark_refused(database, attempt.id, attempt.task)
    assert (
        unclaimed_attempts.claim_refused_messages(database, 60) == []
    )  # nobody has it: nothing spins
    worker_queries.register(
        database,
        worker_queries.WorkerRow(
            ids.new_id(), "newer", 1, "threads", 1, ["celery"], [attempt.task]
        ),
    )
    for _ in range(3):  # the old one may be the quicker one again
        assert [one.id for one in unclaimed_attempts.claim_refused_messages(database, 60)] == [
            attempt.id
        ]
        assert unclaimed_attempts.claim_refused_messages(database, 60) == []
        unclaimed_attempts.mark_refused(database, attempt.id, attempt.task)
    assert database.one(stood, (attempt.id,)) == (1, False)


def test_a_queue_that_nobody_serves_hides_no_lost_message_of_another(database, instance):
    after, lost = started(database, instance)
    crowd = tuple(Attempt(ids.new_id(), n, 1, "gpu.train", queue=f"gpu{n}") for n in range(2, 12))
    steps = tuple(a_step(n) for n in range(2, 12))
    save(database, saving(after, created=steps, attempts=crowd))
    an_hour_ago(database, "published_at")
    database.all(
        "update orchestrator.attempts set published_at = clock_timestamp() - interval '2 hours'"
        " where queue like 'gpu%'"
    )
    row = worker_queries.WorkerRow(WORKER, "w@host", 1, "prefork", 2, ["celery"], ["shop.reserve"])
    worker_queries.register(database, row)
    assert [one.id for one in unclaimed_attempts.claim_lost_messages(database, 60, limit=5)] == [
        lost.id
    ]


def test_a_wide_instance_has_so_many_messages_at_the_broker_and_no_more(database, instance):
    started(database, instance)
    database.all(
        "insert into orchestrator.attempts (id, instance_id, step, number, starts, task, queue,"
        " state, published_at) select gen_random_uuid(), %s, 10 + n, 1, 1, 'x', 'celery', 'ready',"
        " case when n <= %s then clock_timestamp() end from generate_series(1, 20000) n",
        (instance, unclaimed_attempts.PUBLISHED_AT_ONCE - 2),
    )
    first = unclaimed_attempts.claim_next_wave(database, instance, "celery", 2)
    assert len(first) == 2  # one more than there is room for, since two are asked for at once
    assert unclaimed_attempts.claim_next_wave(database, instance, "celery", 2) == []
    database.all(
        "update orchestrator.attempts set state = 'claimed' where id in (select id from"
        " orchestrator.attempts where state = 'ready' and published_at is not null limit 3)"
    )
    assert len(unclaimed_attempts.claim_next_wave(database, instance, "celery", 2)) == 2


def test_a_note_that_cannot_be_brought_lets_others_go_first(database, instance):
    first = instance_slice_reader.read_inbox(database, instance)
    assert first is not None and first.stimulus is not None
    inbox_queries.put(database, instance, StimulusKind.COMMAND, data={"command": "terminate"})
    inbox_queries.defer(database, first.stimulus["id"])
    second = instance_slice_reader.read_inbox(database, instance)
    assert second is not None and second.stimulus is not None
    assert second.stimulus["kind"] == "command"


def test_a_traceback_with_nul_is_saved(database, instance):
    after, attempt = started(database, instance)
    claimed(database, instance, attempt, "a.0")
    ended = AttemptEnd(attempt.id, AttemptState.FAILED, error={"detail": "x\0y"}, traceback="x\0y")
    save(database, saving(after, ended=(ended,), fence=Fence(attempt.id, "a.0")))
    assert database.all("select state, traceback from orchestrator.attempts") == [
        ("failed", "x\N{SYMBOL FOR NULL}y")
    ]


def test_on_a_quiet_queue_with_a_free_worker_a_message_counts_as_lost(database, instance):
    _, attempt = started(database, instance)
    an_hour_ago(database, "published_at")
    row = worker_queries.WorkerRow(WORKER, "w@host", 1, "prefork", 2, ["celery"], ["shop.reserve"])
    worker_queries.register(database, row)
    assert worker_queries.heartbeat(database, WORKER, [], free_slots=0)
    assert unclaimed_attempts.claim_lost_messages(database, 60) == []
    assert worker_queries.heartbeat(database, WORKER, [], free_slots=1)
    assert [one.id for one in unclaimed_attempts.claim_lost_messages(database, 60)] == [attempt.id]
