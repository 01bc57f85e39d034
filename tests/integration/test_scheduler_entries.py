"""Users' periodic entries, shared by all beats: what is due is sent once, whoever dies."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import BaseSchedule, crontab, schedstate, schedule

from orchestrator.database.connection.database import LOCKING, Database
from orchestrator.database.schedules import beat_entry_queries
from orchestrator.scheduler.celery_beat_entries import (
    OVERDUE,
    SENT_RETENTION,
    UNSENT_INTERVAL,
    UNSENT_RETENTION,
    CeleryBeatEntries,
    due_after,
    task_id,
)


class Beat:
    """The periodic part of a beat; what it sends is kept by task id."""

    def __init__(self, url: str, entries: dict[str, Any], app: str = "shop") -> None:
        celery = Celery(app, set_as_current=False)
        celery.conf.update(timezone="UTC")
        self.database = Database(url)
        self.sent: list[str] = []
        self.broken = False
        made = {
            name: ScheduleEntry(name=name, task=f"shop.{name}", schedule=when, app=celery)
            for name, when in entries.items()
        }
        self.entries = CeleryBeatEntries(self.database, app, made, self._send)

    def _send(self, entry: Any, id: str) -> None:
        if self.broken:
            raise ConnectionError("the broker is away")
        assert id.startswith(f"beat:{entry.name}:")
        self.sent.append(id)

    def run(self) -> float:
        return self.entries.run()


def ago(database: Database, seconds: float) -> None:
    """Let so much time have passed since the last due times."""
    database.all("update orchestrator.celery_beat_entries set last_due = last_due - %s",
                 (timedelta(seconds=seconds),))  # fmt: skip


def dues(database: Database, entry: str) -> list[datetime]:
    return [
        row[0]
        for row in database.all(
            "select due from orchestrator.celery_beat_firings where entry = %s order by due",
            (entry,),
        )
    ]


def test_an_interval_begins_when_a_beat_first_sees_it(database, database_url):
    beat = Beat(database_url, {"tick": 30})
    assert 0 < beat.run() <= UNSENT_INTERVAL
    assert beat.sent == []
    ago(database, 30)
    again = Beat(database_url, {"tick": 30})
    again.run()
    (due,) = dues(database, "tick")
    assert again.sent == [task_id("tick", due)]
    assert again.sent[0].endswith("Z")
    again.run()
    assert len(again.sent) == 1
    beat.database.close()
    again.database.close()


def test_a_due_time_is_sent_once_however_many_beats_look(database, database_url):
    beats = [Beat(database_url, {"tick": 60, "tock": 60}) for _ in range(5)]
    for beat in beats:
        beat.run()
    ago(database, 60)
    threads = []
    for beat in beats:
        beat.entries._reported_at = None  # as after a restart: read anew what is due
        threads.append(threading.Thread(target=beat.run))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = [id for beat in beats for id in beat.sent]
    assert len(sent) == len(set(sent)) == 2
    for beat in beats:
        beat.database.close()


def test_what_a_dead_beat_or_an_absent_broker_left_unsent_is_sent_under_the_same_id(
    database, database_url
):
    dying = Beat(database_url, {"tick": 30})
    dying.run()
    ago(database, 30)
    dying = Beat(database_url, {"tick": 30})
    dying.broken = True
    dying.run()
    assert dying.sent == []
    other = Beat(database_url, {"tick": 30})
    other.run()
    assert other.sent == []  # it may be on its way
    database.all("update orchestrator.celery_beat_firings set tried_at = tried_at - %s",
                 (timedelta(seconds=OVERDUE + 1),))  # fmt: skip
    other.entries._queried_at = None
    other.run()
    assert other.sent == [task_id("tick", dues(database, "tick")[0])]
    assert database.all("select sent_at is not null from orchestrator.celery_beat_firings") == [
        (True,)
    ]
    stranger = Beat(database_url, {"tock": 30})
    stranger.run()
    assert stranger.sent == []
    for beat in (dying, other, stranger):
        beat.database.close()


def test_what_is_owed_outlasts_a_broker_that_is_away_for_days(database):
    """A due time that was sent is forgotten after a day, one that was not after a week."""
    database.all(
        "insert into orchestrator.celery_beat_firings (app, entry, due, created_at, sent_at)"
        " select 'shop', entry, now() - age, now() - age, case when sent then now() end"
        " from (values ('sent', interval '2 days', true), ('owed', interval '2 days', false),"
        "  ('lost', interval '8 days', false)) v(entry, age, sent)"
    )
    dropped = beat_entry_queries.purge(
        database, timedelta(days=7), SENT_RETENTION, UNSENT_RETENTION
    )
    assert dropped == [("shop", "lost", 1)]
    assert database.all("select entry from orchestrator.celery_beat_firings") == [("owed",)]


def test_what_was_missed_is_sent_once_and_an_interval_keeps_its_beat(database, database_url):
    first = Beat(database_url, {"tick": 30})
    first.run()
    begun = beat_entry_queries.register_entries(database, "shop", ["tick"])["tick"].last_due
    ago(database, 1000)
    beat = Beat(database_url, {"tick": 30})
    beat.run()
    assert len(beat.sent) == 1
    after = beat_entry_queries.register_entries(database, "shop", ["tick"])["tick"]
    assert (begun - timedelta(seconds=1000) - after.last_due) % timedelta(seconds=30) == timedelta()
    assert timedelta() <= after.now - after.last_due < timedelta(seconds=30)
    for each in (first, beat):
        each.database.close()


def test_a_crontab_that_was_missed_is_sent_once_and_follows_the_clock_again(database, database_url):
    first = Beat(database_url, {"hourly": crontab(minute="0")})
    first.run()
    ago(database, 5 * 3600)
    beat = Beat(database_url, {"hourly": crontab(minute="0")})
    beat.run()
    (due,) = dues(database, "hourly")
    assert (due.minute, due.second, due.microsecond) == (0, 0, 0)
    assert len(beat.sent) == 1
    beat.run()
    assert len(beat.sent) == 1
    for each in (first, beat):
        each.database.close()


def test_apps_that_share_a_database_have_their_own_entries(database, database_url):
    beats = [Beat(database_url, {"tick": 30}, app) for app in ("shop", "office")]
    for beat in beats:
        beat.run()
    database.all(
        "update orchestrator.celery_beat_entries set last_due = last_due - %s where app = 'shop'",
        (timedelta(seconds=30),),
    )
    for beat in beats:
        beat.entries._reported_at = None
        beat.run()
    assert [len(beat.sent) for beat in beats] == [1, 0]
    for beat in beats:
        beat.database.close()


def test_an_entry_that_nobody_names_is_forgotten_and_one_that_comes_back_begins_anew(
    database, database_url
):
    Beat(database_url, {"gone": 30}).run()
    database.all(
        "update orchestrator.celery_beat_entries set reported_at = reported_at - interval '8 days'"
    )
    Beat(database_url, {"tick": 30}).run()
    assert database.all("select entry from orchestrator.celery_beat_entries") == [("tick",)]


def test_an_entry_forgotten_while_its_beat_was_away_is_named_again(database, database_url):
    beat = Beat(database_url, {"tick": 30})
    beat.run()
    database.all("delete from orchestrator.celery_beat_entries")
    beat.entries._fire("tick")
    beat.entries._reported_at = None  # as some minutes later
    beat.run()
    assert database.all("select entry from orchestrator.celery_beat_entries") == [("tick",)]
    assert beat.sent == []
    beat.database.close()


def test_a_beat_waits_for_no_other_that_has_an_entry_in_hand(database, database_url):
    beat = Beat(database_url, {"tick": 30, "tock": 30})
    beat.run()
    ago(database, 30)
    with database.transaction(LOCKING) as cursor:
        assert beat_entry_queries.lock(cursor, "shop", "tick") is not None
        for name in ("tick", "tock"):
            beat.entries._fire(name)
        assert [id.split(":")[1] for id in beat.sent] == ["tock"]
    beat.entries._fire("tick")
    assert [id.split(":")[1] for id in beat.sent] == ["tock", "tick"]
    beat.database.close()


# When Celery's schedules are due, by the time that they are told

APP = Celery("clock", set_as_current=False)
APP.conf.update(timezone="Europe/Berlin")
LAST = datetime(2026, 3, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "due"),
    [
        (schedule(timedelta(seconds=90), app=APP), LAST + timedelta(seconds=90)),
        (crontab(minute="30", hour="13", app=APP), LAST + timedelta(minutes=30)),
        (crontab(minute="0", hour="5", app=APP), datetime(2026, 3, 29, 3, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("late", [-1.0, -1e-3, 0.0, 1e-3, 70.0])
def test_the_due_time_is_the_same_whenever_one_asks_and_never_early(when, due, late):
    found = due_after(when, LAST, due + timedelta(seconds=late))
    assert found.at == due
    assert found.is_due is (late >= 0)


def test_a_schedule_gets_its_own_clock_back():
    def clock():
        return LAST.astimezone(ZoneInfo("Asia/Kathmandu"))

    when: Any = crontab(minute="0", hour="0", nowfun=clock, app=APP)
    found = due_after(when, LAST, LAST + timedelta(hours=1))
    assert found.at == datetime(2026, 3, 28, 23, tzinfo=UTC)  # midnight where the app is
    assert when.nowfun is clock


def test_a_schedule_of_the_users_own_and_one_that_fails():
    class Odd(BaseSchedule):
        def remaining_estimate(self, last_run_at):
            return last_run_at + timedelta(hours=1) - self.now()

        def is_due(self, last_run_at):
            left = self.remaining_estimate(last_run_at).total_seconds()
            return schedstate(left <= 0, left)

    class Bad(BaseSchedule):
        def is_due(self, last_run_at):
            raise RuntimeError("no idea")

    odd = due_after(Odd(app=APP), LAST, LAST + timedelta(minutes=90))
    assert (odd.is_due, odd.at) == (True, LAST + timedelta(hours=1))
    assert not due_after(Bad(app=APP), LAST, LAST).is_due
