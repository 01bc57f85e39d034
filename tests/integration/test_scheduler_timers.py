"""Timers on Postgres: races of two beats, of a beat and a transition; what a look costs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from orchestrator import clock
from orchestrator.database.connection.database import LOCKING, Database
from orchestrator.database.schedules import timer_queries
from orchestrator.database.schedules.idle_check import next_due
from orchestrator.database.schedules.timer_announcer import TimerAnnouncer
from orchestrator.ids import new_id
from orchestrator.scheduler.interruptible_sleep import InterruptibleSleep
from tests.support.row_lock_races import waiting

REARM = (
    "insert into orchestrator.timers (instance_id, step, kind, due_at)"
    " values (%s, 1, 'retry', clock_timestamp() + %s)"
    " on conflict (instance_id, step, kind) do update set due_at = excluded.due_at"
)


@pytest.fixture
def other(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.close()


def arm(database: Database, seconds: float, instance: str | None = None) -> str:
    """Arm a timer that is due in so many seconds; returns its instance."""
    id = instance or new_id()
    database.all(REARM, (id, timedelta(seconds=seconds)))
    return id


def test_beats_are_told_only_of_what_is_due_before_they_wake(database, database_url):
    told = InterruptibleSleep(database_url)
    told.wait(60)  # listens
    moment, now = 0.0, clock.now()
    announcer = TimerAnnouncer(database, lambda: moment)
    for passed, due in ((1, 2.0), (0.1, 3.0), (0.1, 2.0), (0.1, 1.0), (0.001, 0.5), (0.1, 0.7)):
        moment += passed
        announcer.timer_armed(now + timedelta(seconds=due), now)
    # Not of what is due later, nor of what comes at once after another one.
    assert [note.payload for note in notes(told)] == ["2.0000", "1.0000"]
    announcer.timer_armed(now + timedelta(seconds=9), now + timedelta(seconds=8))
    assert [note.payload for note in notes(told)] == ["1.0000"]
    told.close()


def notes(wake: InterruptibleSleep) -> list[Any]:
    """What a beat was told; a message of our own says that there is no more."""
    connection = wake._listener._connection
    assert connection is not None
    with connection.cursor() as cursor:
        cursor.execute("select 1")
    found, connection.notifies[:] = list(connection.notifies), []
    return found


def test_a_beat_that_is_told_looks_again_and_when_something_was_to_be_due(database, database_url):
    beat = InterruptibleSleep(database_url)
    assert beat.wait(600), "it listens now, and has not before"
    assert not beat.wait(0.001)
    timer_queries.announce(database, 0.05)
    for look in ("told", "what was committed meanwhile", "due, though no timer is there"):
        assert beat.wait(600), look
    assert not beat.wait(0.001)
    beat.close()


def test_of_two_beats_each_timer_falls_to_one_and_none_waits(database, other):
    first, second = arm(database, -2), arm(database, -1)
    with database.transaction(LOCKING) as cursor:
        assert timer_queries.fire(cursor, limit=1).instances == (first,)
        assert timer_queries.fire(other).instances == (second,)
        assert timer_queries.fire(other).instances == ()
    assert timer_queries.fire(other).instances == ()
    assert database.all("select count(*) from orchestrator.stimuli") == [(2,)]


def test_what_a_dying_beat_took_falls_to_another(database, other):
    instance = arm(database, -1)

    def die() -> None:
        with database.transaction(LOCKING) as cursor:
            assert timer_queries.fire(cursor).instances == (instance,)
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        die()
    assert timer_queries.fire(other).instances == (instance,)
    assert database.all("select count(*) from orchestrator.stimuli") == [(1,)]


def test_many_beats_at_once_fire_each_timer_once(database, database_url):
    armed = {arm(database, -number / 100) for number in range(500)}
    fired: list[str] = []

    def beat() -> None:
        mine = Database(database_url)
        while found := timer_queries.fire(mine, limit=7).instances:
            fired.extend(found)
        mine.close()

    threads = [threading.Thread(target=beat) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fired.extend(timer_queries.fire(database).instances)
    assert len(fired) == len(armed)
    assert set(fired) == armed


def test_a_timer_armed_anew_while_it_fires_is_not_lost(database, other):
    instance = arm(database, -1)
    with database.transaction(LOCKING) as cursor:
        timer_queries.fire(cursor)
        rearming = threading.Thread(target=arm, args=(other, 60, instance))
        rearming.start()
        while not waiting(database):
            pass
    rearming.join()
    assert timer_queries.fire(database).instances == ()
    assert 55 < (next_due(database) or 0) <= 60


def test_a_timer_disarmed_while_it_fires_has_fired_once(database, other):
    instance = arm(database, -1)
    with database.transaction(LOCKING) as cursor:
        timer_queries.fire(cursor)
        disarm = ("delete from orchestrator.timers where instance_id = %s", (instance,))
        disarming = threading.Thread(target=other.all, args=disarm)
        disarming.start()
        while not waiting(database):
            pass
    disarming.join()
    assert next_due(database) is None
    assert database.all("select count(*) from orchestrator.stimuli") == [(1,)]


def test_a_timer_being_disarmed_does_not_hold_up_the_others(database, other):
    disarmed, due = arm(database, -2), arm(database, -1)
    with database.transaction(LOCKING) as cursor:
        cursor.all("delete from orchestrator.timers where instance_id = %s", (disarmed,))
        assert timer_queries.fire(other).instances == (due,)
    assert timer_queries.fire(other).instances == ()


def test_nothing_fires_a_moment_early(database):
    for _ in range(20):
        arm(database, 0.005)
        while not (found := timer_queries.fire(database)).instances:
            pass
        assert all(late >= 0 for late in found.latenesses)


def test_a_look_reads_what_is_due_and_not_what_is_later(database):
    database.all(
        "insert into orchestrator.timers (instance_id, step, kind, due_at)"
        " select gen_random_uuid(), 1, 'wait', clock_timestamp() + g.n * interval '1 minute'"
        " from generate_series(1, 20000) as g(n)"
    )
    database.all("analyze orchestrator.timers")
    plan = "\n".join(row[0] for row in database.all(f"explain {timer_queries.FIRE}", (200,)))
    assert "Index Scan using timers_due_at_ix" in plan
    assert "Index Cond: (due_at <= " in plan
