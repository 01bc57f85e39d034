"""When a beat looks for what is due: not each time that it wakes, and yet in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from celery import Celery

from orchestrator.bootstrap import Services, services
from orchestrator.database.connection.database import Database
from orchestrator.database.schedules import idle_check
from orchestrator.database.transitions.inbox_queries import OverdueStimulus
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt
from orchestrator.database.workers.worker_queries import ClaimedAttemptRow
from orchestrator.ids import new_id
from orchestrator.scheduler.bulk_operations import POLL_INTERVAL, Operations
from orchestrator.scheduler.maintenance_loop import (
    NEXT_DUE_INTERVAL,
    MaintenanceJob,
    MaintenanceLoop,
)
from orchestrator.scheduler.maintenance_store import PostgresMaintenanceStore
from orchestrator.settings import Settings


class Watched(PostgresMaintenanceStore):
    """Counts how often a beat asked what is due, and how often it tried to fire."""

    asked = fired = looked = 0
    broken = waits = False

    def next_due(self) -> float | None:
        self.asked += 1
        return super().next_due()

    def fire_timers(self) -> Sequence[str]:
        self.fired += 1
        return super().fire_timers()

    def claimed(self) -> Sequence[ClaimedAttemptRow]:
        self.looked += 1
        return super().claimed()

    def lost_messages(self, republish_after: float) -> Sequence[PublishableAttempt]:
        self.looked += 1
        return super().lost_messages(republish_after)

    def refused_messages(self, republish_after: float) -> Sequence[PublishableAttempt]:
        self.looked += 1
        return super().refused_messages(republish_after)

    def overdue_stimuli(self, seconds: float, limit: int) -> Sequence[OverdueStimulus]:
        self.looked += 1
        return super().overdue_stimuli(seconds, limit)

    def shortest_wait(self) -> float | None:
        self.looked += 1
        return 1.0 if self.waits else super().shortest_wait()

    def is_idle(self) -> bool:
        if self.broken:
            raise RuntimeError("broken")
        return super().is_idle()


class Beat:
    """The jobs of a beat, whose own clock stands still until it is moved."""

    def __init__(
        self, made: Services, settings: Settings, more: Sequence[MaintenanceJob] = ()
    ) -> None:
        self.now = 1000.0
        self.store = Watched(made.database)
        self.jobs = MaintenanceLoop(settings, self.store, made.state, lambda: self.now, more)

    def run(self, *, told: bool = False) -> float:
        return self.jobs.run(announced=told)

    @property
    def counts(self) -> tuple[int, int]:
        return self.store.asked, self.store.fired


@pytest.fixture
def beat(database_url: str, broker_url: str) -> Iterator[Beat]:
    settings = Settings(database_url=database_url, broker_url=broker_url)
    made = services(settings, Celery("jobs", broker=broker_url, set_as_current=False))
    yield Beat(made, settings)
    made.close()


def arm(database: Database, seconds: float) -> None:
    database.all(
        "insert into orchestrator.timers (instance_id, step, kind, due_at)"
        " values (%s, 1, 'wait', clock_timestamp() + %s)",
        (new_id(), timedelta(seconds=seconds)),
    )


def test_a_beat_that_wakes_for_a_job_asks_for_timers_once_a_second(beat: Beat) -> None:
    beat.run(told=True)
    assert beat.counts == (1, 1)
    for _ in range(5):
        assert 0 < beat.run() <= NEXT_DUE_INTERVAL
    assert beat.counts == (1, 1)
    beat.now += NEXT_DUE_INTERVAL
    beat.run()
    assert beat.counts == (2, 1)


def test_it_fires_what_is_due_when_it_is_told(beat: Beat, database: Database) -> None:
    beat.run(told=True)
    arm(database, -1)
    beat.run()
    assert timers(database) == 1
    beat.run(told=True)
    assert timers(database) == 0


def test_it_fires_what_is_due_though_nobody_told_it(beat: Beat, database: Database) -> None:
    """Whoever armed the timer may have died before it could announce it."""
    beat.run(told=True)
    arm(database, -1)
    beat.now += NEXT_DUE_INTERVAL
    assert beat.run() <= 0.02
    beat.now += 0.02
    beat.run()
    assert timers(database) == 0


def test_it_fires_what_it_knew_of_when_that_is_due(beat: Beat, database: Database) -> None:
    arm(database, 0.3)
    assert 0 < beat.run(told=True) <= 0.3
    while timers(database, "due_at <= clock_timestamp()") == 0:
        pass
    beat.run()
    assert timers(database) == 1
    beat.now += 0.3
    beat.run()
    assert timers(database) == 0
    assert beat.store.asked == 2


def test_at_rest_a_beat_asks_nothing_but_whether_it_is_so(beat: Beat, database: Database) -> None:
    beat.run()
    assert beat.store.looked == 5, "it has only come to rest: all see that nothing is left"
    for _ in range(3):
        assert 0 < beat.run() <= 0.6
        beat.now += 0.6
    assert beat.store.looked == 5
    database.all(WORK["a claimed attempt"])
    beat.run()
    assert beat.store.looked == 10
    database.all("update orchestrator.attempts set state = 'lost'")
    beat.now += 0.6
    beat.run()
    assert beat.store.looked == 15, "it has come to rest again"


def test_what_is_always_done_is_done_no_more_often_for_coming_to_rest(
    database_url: str, broker_url: str, database: Database
) -> None:
    """A quiet house comes to rest after every instance."""
    settings = Settings(database_url=database_url, broker_url=broker_url)
    made = services(settings, Celery("quiet", broker=broker_url, set_as_current=False))
    done: list[int] = []
    beat = Beat(
        made,
        settings,
        [MaintenanceJob("hourly", 3600.0, lambda: done.append(1), runs_when_idle=True)],
    )
    for _ in range(3):
        database.all(WORK["a claimed attempt"])
        beat.run()
        beat.now += 1.0
        database.all("update orchestrator.attempts set state = 'lost'")
        beat.run()
        beat.now += 1.0
    made.close()
    assert len(done) == 1


def test_where_it_cannot_be_said_whether_all_is_at_rest_everything_is_done(beat: Beat) -> None:
    beat.store.broken = True
    beat.run()
    assert beat.store.looked == 5


def test_a_long_lease_blinds_no_beat(database_url: str, broker_url: str) -> None:
    """Each of them looks as often at rest as its most frequent job would."""
    settings = Settings(database_url=database_url, broker_url=broker_url, lease=3600.0)
    made = services(settings, Celery("long", broker=broker_url, set_as_current=False))
    work = Operations(made.database, made.dispatcher).jobs()
    beat = Beat(made, settings, work)
    for _ in range(3):
        assert beat.run() <= POLL_INTERVAL
        beat.now += POLL_INTERVAL
    made.close()


ATTEMPT = (
    "insert into orchestrator.attempts (id, instance_id, step, number, starts, task, queue, state)"
    " values (gen_random_uuid(), gen_random_uuid(), 1, 1, 1, 't', 'q', '{}')"
)
#: What a beat has to look after, each.
WORK = {
    "a ready attempt": ATTEMPT.format("ready"),
    "a claimed attempt": ATTEMPT.format("claimed"),
    "a stimulus": (
        "insert into orchestrator.stimuli (instance_id, kind) values (gen_random_uuid(), 'start')"
    ),
    "an event that nobody matched": (
        "insert into orchestrator.events (id, namespace, source, event_id, type, event)"
        " values (gen_random_uuid(), 'n', 's', '1', 't', '{}')"
    ),
    "a listener that asks": (
        "insert into orchestrator.listeners (instance_id, step, namespace, mode, filters)"
        " values (gen_random_uuid(), 1, 'n', 'one', '[]')"
    ),
    "a schedule that waits": (
        "insert into orchestrator.schedules (id, namespace, workflow_id, workflow, version, kind,"
        " timing, policy, anchor, waits_for_end)"
        " values (gen_random_uuid(), 'n', gen_random_uuid(), 'w', '1', 'after', '{}', '{}', now(),"
        " true)"
    ),
    "an operation": (
        "insert into orchestrator.bulk_operations (id, action, filter, selection, actor, matches)"
        " values (gen_random_uuid(), 'cancel', '{}', '{}', 'ann', 1)"
    ),
}


@pytest.mark.parametrize("what", WORK)
def test_nothing_is_at_rest_while_there_is(what: str, database: Database) -> None:
    assert idle_check.is_idle(database)
    database.all(WORK[what])
    assert not idle_check.is_idle(database)


def test_what_has_ended_is_at_rest(database: Database) -> None:
    database.all(ATTEMPT.format("succeeded"))
    database.all(
        WORK["an operation"].replace("matches)", "matches, state)").replace("1)", "1, 'completed')")
    )
    database.all(
        WORK["a schedule that waits"]
        .replace("waits_for_end)", "waits_for_end, state)")
        .replace("true)", "true, 'paused')")
    )
    assert idle_check.is_idle(database)


def test_where_a_schedule_went_on_it_asks_anew_when_something_is_due(
    beat: Beat, database: Database
) -> None:
    database.all(WORK["a claimed attempt"])
    beat.store.waits = True
    beat.run(told=True)
    asked = beat.store.asked
    beat.now += 0.3
    beat.run()
    assert beat.store.asked == asked + 1


def timers(database: Database, which: str = "true") -> int:
    ((count,),) = database.all(f"select count(*) from orchestrator.timers where {which}")
    return int(count)
