"""Schedules on Postgres: what makes them, what they start, what stops them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from orchestrator.database.connection.database import LOCKING, Database
from orchestrator.database.schedules import firing_queries
from orchestrator.database.schedules import idle_check as due
from orchestrator.database.schedules import schedule_queries as rows
from orchestrator.database.workflows import workflow_queries
from orchestrator.errors import Conflict, NotFound
from orchestrator.ids import new_id
from orchestrator.scheduler.schedules import due_schedules, schedule_deployment, schedule_management
from tests.support.schedules import Schedules

EVERY_MINUTE = {"every": {"minutes": 1}}


@pytest.fixture
def shop(database_url: str) -> Iterator[Schedules]:
    made = Schedules(database_url)
    yield made
    made.close()


# What is started


def test_a_due_time_starts_one_instance_and_stands_in_the_ledger(shop):
    shop.deploy(EVERY_MINUTE)
    assert shop.fire() == []
    first = shop.one().next_due
    assert first is not None
    shop.pass_time(60)
    (started,) = shop.fire()
    found = shop.instance(started)
    assert (found.namespace, found.workflow, found.status) == ("shop", "report", "pending")
    assert found.input is None
    ((_, *row),) = firing_queries.listed(shop.database, shop.one().id).rows
    entry = firing_queries.FiringRow(*row)
    assert entry.instance_id == started
    assert entry.due == entry.fires_at == first - timedelta(seconds=60)
    assert entry.fired_at is not None
    assert timedelta(0) <= entry.fired_at - entry.fires_at < timedelta(seconds=60)
    assert shop.ledger() == [("schedule", "started", None)]
    assert shop.one().next_due == first
    assert shop.fire() == []
    ((kind, data),) = shop.database.all(
        "select kind, data from orchestrator.stimuli where instance_id = %s", (started,)
    )
    assert (kind, data) == ("start", {"by": "schedule"})


def test_the_instance_knows_its_due_time_by_its_labels_and_by_its_input(shop):
    shop.deploy(
        {"cron": "0 9 * * *"}, timezone="Asia/Kathmandu",
        input={"day": "${ .due }", "here": "${ .local }", "why": "${ .reason }", "n": 1},
    )  # fmt: skip
    row = shop.one()
    made = shop.transact(
        schedule_management.backfill, row.id,
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC), "ann",
    )  # fmt: skip
    found = shop.instance(made[0].row.instance_id)
    assert found.input == (
        '{"day":"2026-01-01T03:15:00Z","here":"2026-01-01T09:00:00+05:45","why":"backfill","n":1}'
    )
    assert found.labels is not None
    assert shop.database.all("select labels from orchestrator.instances") == [
        ({"schedule": row.id, "due": "2026-01-01T03:15:00Z"},)
    ]


def test_cron_follows_the_clock_of_its_time_zone(shop):
    shop.deploy({"cron": "30 7 * * *"}, timezone="America/New_York")
    row = shop.one()
    due = schedule_management.upcoming(row, shop.now(), 400)
    from zoneinfo import ZoneInfo

    there = [one.due.astimezone(ZoneInfo("America/New_York")) for one in due]
    assert {(at.hour, at.minute) for at in there} == {(7, 30)}
    days = [at.date() for at in there]
    assert [b - a for a, b in pairwise(days)] == [timedelta(days=1)] * 399
    assert {at.utcoffset() for at in there} == {timedelta(hours=-5), timedelta(hours=-4)}


def test_what_was_missed_follows_the_policy_and_the_ledger_says_so(shop):
    shop.deploy(EVERY_MINUTE, name="skip", misfire="skip")
    shop.deploy(EVERY_MINUTE, name="once", misfire="once")
    shop.deploy(EVERY_MINUTE, name="all", misfire="all", cap=3)
    shop.pass_time(600.5 + 30)  # ten due times, the last one 30 s ago
    assert len(shop.fire()) == 4
    assert {name: shop.ledger(shop.one(name).id) for name in ("skip", "once", "all")} == {
        "skip": [("schedule", "skipped", "missed")],
        "once": [("schedule", "started", None)],
        "all": [("schedule", "skipped", "missed"), *[("schedule", "started", None)] * 3],
    }
    ((since, due),) = shop.database.all(
        "select missed_since, due from orchestrator.firings where schedule_id = %s",
        (shop.one("once").id,),
    )
    assert due - since == timedelta(minutes=9)
    assert all(shop.one(name).next_due > shop.now() for name in ("skip", "once", "all"))


def test_every_ten_milliseconds_loses_none_within_its_grace(shop):
    shop.deploy({"every": {"milliseconds": 10}})
    shop.pass_time(3)
    assert len(shop.fire()) >= 300
    dues = [row[0] for row in shop.database.all("select due from orchestrator.firings order by 1")]
    assert {b - a for a, b in pairwise(dues)} == {timedelta(milliseconds=10)}


def test_a_bad_schedule_holds_up_no_other(shop):
    for name in ("bad", "good", "fine"):
        shop.deploy(EVERY_MINUTE, name=name)
    shop.database.all(
        "update orchestrator.schedules set workflow_id = %s where workflow = 'bad'", (new_id(),)
    )
    shop.pass_time(61)
    assert len(shop.fire()) == 2
    bad = shop.one("bad")
    assert bad.next_fire_at > shop.now() + timedelta(seconds=due_schedules.FAILURE_DELAY / 2)
    assert shop.ledger(bad.id) == []


# Overlaps


def test_overlap_allow_starts_whatever_is_open(shop):
    shop.deploy(EVERY_MINUTE)
    for _ in range(3):
        shop.pass_time(60)
        assert len(shop.fire()) == 1


def test_overlap_skip_starts_nothing_while_an_instance_is_open(shop):
    shop.deploy(EVERY_MINUTE, overlap="skip")
    shop.pass_time(60)
    (first,) = shop.fire()
    shop.pass_time(60)
    assert shop.fire() == []
    shop.end(first)
    shop.pass_time(60)
    assert len(shop.fire()) == 1
    assert shop.ledger() == [
        ("schedule", "started", None),
        ("schedule", "skipped", "overlap"),
        ("schedule", "started", None),
    ]


@pytest.mark.parametrize("status", ["completed", "faulted", "cancelled"])
def test_overlap_queue_starts_one_at_the_end_of_the_instance_however_it_ends(shop, status):
    shop.deploy(EVERY_MINUTE, overlap="queue")
    shop.pass_time(60)
    (first,) = shop.fire()
    for _ in range(2):
        shop.pass_time(60)
        assert shop.fire() == []
    assert shop.outcomes() == ["started", "queued", "skipped"]
    assert shop.settle() == []
    shop.end(first, status=status)
    (second,) = shop.settle()
    assert shop.one().last_instance_id == second
    assert shop.outcomes() == ["started", "started", "skipped"]
    assert not shop.one().waits_for_end
    assert rows.shortest_wait(shop.database) is None
    shop.end(second)
    assert shop.settle() == []


def test_overlap_waits_for_compensation_to_settle(shop):
    shop.deploy(EVERY_MINUTE, overlap="skip")
    shop.pass_time(60)
    (first,) = shop.fire()
    shop.end(first, status="faulted")
    shop.database.all("update orchestrator.instances set compensation = 'running'")
    shop.pass_time(60)
    assert shop.fire() == []
    shop.database.all("update orchestrator.instances set compensation = 'completed'")
    shop.pass_time(60)
    assert len(shop.fire()) == 1


def test_overlap_cancel_cancels_once_and_starts_the_newest_when_that_has_settled(shop):
    shop.deploy(EVERY_MINUTE, overlap="cancel")
    shop.pass_time(60)
    (first,) = shop.fire()
    for _ in range(2):
        shop.pass_time(60)
        assert shop.fire() == [first]  # to be hinted: it is to be cancelled
    commands = shop.database.all(
        "select instance_id::text, data ->> 'command' from orchestrator.stimuli"
        " where kind = 'command'"
    )
    assert commands == [(first, "cancel")]
    assert shop.outcomes() == ["started", "skipped", "queued"]
    shop.end(first, status="cancelled")
    assert len(shop.settle()) == 1
    assert shop.outcomes() == ["started", "skipped", "started"]


def test_a_due_time_that_is_queued_has_its_own_input_and_the_newest_version(shop):
    shop.deploy(EVERY_MINUTE, overlap="queue", input={"due": "${ .due }"})
    shop.pass_time(60)
    (first,) = shop.fire()
    shop.pass_time(60)
    shop.fire()
    shop.deploy(EVERY_MINUTE, version="1.1.0", overlap="queue")
    shop.end(first)
    (second,) = shop.settle()
    found = shop.instance(second)
    due = shop.database.all("select max(due) from orchestrator.firings")[0][0]
    assert found.input == f'{{"due":"{due.astimezone(UTC).isoformat()[:-6]}Z"}}'
    assert found.version == "1.1.0"


# `after`


def test_after_is_due_some_time_after_the_end_of_what_it_started(shop):
    shop.deploy({"after": {"minutes": 5}})
    begun = shop.one()
    assert begun.next_due - begun.anchor == timedelta(minutes=5)
    shop.pass_time(301)
    (first,) = shop.fire()
    assert shop.one().next_fire_at is None
    shop.pass_time(1000)
    assert shop.fire() == shop.settle() == []
    assert rows.shortest_wait(shop.database) == 300.0
    shop.end(first, status="faulted")
    assert shop.settle() == []
    ended = shop.instance(first).ended_at
    assert shop.one().next_due == ended + timedelta(minutes=5)
    shop.pass_time(301)
    assert len(shop.fire()) == 1


# Races of two beats


def test_of_two_beats_one_fires_and_the_other_neither_waits_nor_fires(shop, database_url):
    shop.deploy(EVERY_MINUTE)
    shop.pass_time(61)
    other = Database(database_url)
    with shop.database.transaction(LOCKING) as cursor:
        assert len(rows.lock_due(cursor, 10)) == 1
        assert due_schedules.fire(other).schedules == 0
    assert due_schedules.fire(other).schedules == 1
    other.close()


def test_many_beats_at_once_fire_each_due_time_of_each_schedule_once(shop, database_url):
    for number in range(10):
        shop.deploy({"every": {"seconds": 1}}, name=f"report{number}", overlap="allow")
    shop.pass_time(8.5)
    started: list[str] = []

    def beat() -> None:
        mine = Database(database_url)
        while (fired := due_schedules.fire(mine, limit=2)).schedules:
            started.extend(fired.instances_to_hint)
        mine.close()

    threads = [threading.Thread(target=beat) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    started += shop.fire()
    ledger = shop.database.all("select count(*), count(distinct instance_id) from"
                               " orchestrator.firings where outcome = 'started'")  # fmt: skip
    count = shop.database.all("select count(*) from orchestrator.instances")[0][0]
    assert ledger == [(count, count)]
    assert len(set(started)) == len(started) == count >= 80


def test_a_due_time_that_was_backfilled_meanwhile_does_not_fire_again(shop):
    shop.deploy(EVERY_MINUTE)
    shop.pass_time(60)
    row = shop.one()
    made = shop.transact(schedule_management.backfill, row.id, row.next_due, row.next_due, "ann")
    assert len(made) == 1
    assert shop.fire() == []
    assert shop.ledger() == [("backfill", "started", None)]
    assert shop.one().next_due == row.next_due + timedelta(minutes=1)


# Versions


def test_a_newer_version_takes_the_schedule_over_and_an_older_one_does_not(shop):
    shop.deploy(EVERY_MINUTE, version="1.10.0")
    first = shop.one()
    shop.deploy(EVERY_MINUTE, version="1.9.0")
    assert shop.one() == first
    shop.deploy({"every": {"minutes": 1}}, version="2.0.0")
    second = shop.one()
    assert (second.id, second.version) == (first.id, "2.0.0")
    assert (second.anchor, second.next_due) == (first.anchor, first.next_due)
    shop.deploy({"every": {"minutes": 2}}, version="2.1.0")
    third = shop.one()
    assert third.id == first.id
    assert third.next_due - third.anchor == timedelta(minutes=2)
    shop.pass_time(121)
    (started,) = shop.fire()
    assert shop.instance(started).version == "2.1.0"


def test_a_due_time_not_yet_handled_is_not_lost_to_a_new_version(shop):
    shop.deploy(EVERY_MINUTE)
    shop.pass_time(60)
    shop.deploy(EVERY_MINUTE, version="1.0.1")
    assert len(shop.fire()) == 1


def test_deploying_the_same_version_again_changes_nothing(shop):
    shop.deploy({"cron": "0 0 * * *"})
    before = shop.one()
    shop.deploy({"cron": "0 0 * * *"})
    assert shop.one() == before


def test_a_new_time_zone_is_another_schedule_from_now_on(shop):
    shop.deploy({"cron": "0 0 * * *"})
    shop.deploy({"cron": "0 0 * * *"}, version="1.0.1", timezone="Asia/Kathmandu")
    assert shop.one().next_due.astimezone(UTC).strftime("%H:%M") == "18:15"


def test_a_version_without_a_schedule_stops_it_and_drops_what_is_queued(shop):
    shop.deploy(EVERY_MINUTE, overlap="queue")
    for _ in range(2):
        shop.pass_time(60)
        shop.fire()
    shop.deploy(None, version="2.0.0")
    assert shop.one().state == "stopped"
    assert shop.ledger()[1] == ("schedule", "skipped", "stopped")
    shop.pass_time(600)
    assert shop.fire() == shop.settle() == []


def test_deleting_stops_the_schedule_and_deploying_again_starts_it_anew(shop):
    old = shop.deploy(EVERY_MINUTE)
    new = shop.deploy(EVERY_MINUTE, version="2.0.0")
    assert shop.remove(new)
    assert shop.one().state == "stopped"
    shop.pass_time(600)
    assert shop.fire() == []
    again = shop.deploy(EVERY_MINUTE)
    assert again == old
    row = shop.one()
    assert (row.state, row.version) == ("active", "1.0.0")
    assert shop.now() < row.next_due <= shop.now() + timedelta(minutes=1)


def test_deleting_an_older_version_leaves_the_schedule_alone(shop):
    old = shop.deploy(EVERY_MINUTE)
    shop.deploy(EVERY_MINUTE, version="2.0.0")
    before = shop.one()
    assert shop.remove(old)
    assert shop.one() == before


def test_a_version_in_use_is_not_removed_and_keeps_its_schedule(shop):
    version = shop.deploy(EVERY_MINUTE)
    shop.pass_time(60)
    shop.fire()
    assert workflow_queries.in_use(shop.database, [version])
    assert not shop.remove(version)
    assert shop.one().state == "active"


def test_a_removal_waits_for_a_beat_that_is_firing_and_a_beat_never_for_a_removal(
    shop, database_url
):
    version = shop.deploy(EVERY_MINUTE)
    shop.pass_time(61)
    other = Database(database_url)
    with shop.database.transaction(LOCKING) as cursor:
        schedule_deployment.lock_schedules(cursor, [version])
        assert due_schedules.fire(other).schedules == 0
        assert workflow_queries.remove(cursor, [version], shop.now())
        schedule_deployment.stop_schedules(cursor, [version])
    assert due_schedules.fire(other).schedules == 0
    other.close()


def test_two_versions_deployed_at_once_leave_the_schedule_to_the_newer(shop, database_url):
    for number in range(6):
        name = f"report{number}"
        newer = Schedules(database_url)
        threads = [
            threading.Thread(target=newer.deploy, args=(EVERY_MINUTE, "2.0.0", name)),
            threading.Thread(target=shop.deploy, args=({"every": {"hours": 1}}, "1.0.0", name)),
        ]
        for thread in threads[:: 1 if number % 2 else -1]:
            thread.start()
        for thread in threads:
            thread.join()
        newer.close()
        assert shop.one(name).version == "2.0.0"


# People


def test_a_paused_schedule_starts_nothing_and_resumed_it_goes_on_from_now(shop):
    shop.deploy(EVERY_MINUTE)
    id = shop.one().id
    assert shop.transact(schedule_management.pause, id).state == "paused"
    shop.pass_time(600)
    assert shop.fire() == []
    shop.deploy(EVERY_MINUTE, version="1.1.0")
    assert shop.one().state == "paused"
    row = shop.transact(schedule_management.resume, id)
    assert shop.now() < row.next_due <= shop.now() + timedelta(minutes=1)
    assert shop.transact(schedule_management.resume, id) == row
    shop.pass_time(60)
    assert len(shop.fire()) == 1


def test_a_paused_schedule_keeps_what_is_queued_until_it_is_resumed(shop):
    shop.deploy(EVERY_MINUTE, overlap="queue")
    shop.pass_time(60)
    (first,) = shop.fire()
    shop.pass_time(60)
    shop.fire()
    id = shop.one().id
    shop.transact(schedule_management.pause, id)
    shop.end(first)
    assert shop.settle() == []
    shop.transact(schedule_management.resume, id)
    assert len(shop.settle()) == 1


def test_triggering_starts_at_once_even_what_is_paused_and_is_in_the_ledger(shop):
    shop.deploy({"cron": "0 0 1 1 *"}, overlap="skip")
    id = shop.one().id
    shop.transact(schedule_management.pause, id)
    made = [shop.transact(schedule_management.trigger, id, "ann") for _ in range(2)]
    made.append(shop.transact(schedule_management.trigger, id, "ann", {"now": True}))
    assert shop.ledger() == [("manual", "started", None)] * 3
    found = shop.instance(made[2].row.instance_id)
    assert found.input == '{"now":true}'
    assert shop.one().last_instance_id == found.id
    (data,) = shop.database.all("select data from orchestrator.stimuli where instance_id = %s",
                                (found.id,))  # fmt: skip
    assert data == ({"by": "ann"},)


def test_triggering_an_after_makes_it_follow_that_run(shop):
    shop.deploy({"after": {"minutes": 5}})
    made = shop.transact(schedule_management.trigger, shop.one().id, "ann")
    shop.pass_time(600)
    assert shop.fire() == []
    shop.end(made.row.instance_id)
    shop.settle()
    assert shop.one().next_due > shop.now()


def test_a_backfill_fires_what_has_not_fired_and_what_was_skipped_once(shop):
    shop.deploy(EVERY_MINUTE, misfire="skip")
    shop.pass_time(320)  # due 260, 200, 140, 80 and 20 s ago: all missed
    assert shop.fire() == []
    row = shop.one()
    args = (row.id, row.anchor, shop.now(), "ann")
    made = shop.transact(schedule_management.backfill, *args)
    assert [one.row.reason for one in made] == ["backfill"] * 5
    assert shop.transact(schedule_management.backfill, *args) == []
    assert shop.ledger() == [("backfill", "started", None)] * 5


def test_a_backfill_runs_one_after_the_other_where_runs_must_not_overlap(shop):
    shop.deploy(EVERY_MINUTE, overlap="skip", misfire="skip")
    shop.pass_time(200)
    shop.fire()
    row = shop.one()
    shop.transact(schedule_management.backfill, row.id, row.anchor, shop.now(), "ann")
    assert shop.outcomes() == ["queued"] * 3
    for left in (2, 1, 0):
        (started,) = shop.settle()
        assert shop.outcomes().count("queued") == left
        assert shop.settle() == []
        shop.end(started)
    assert shop.settle() == []
    assert not shop.one().waits_for_end


def test_a_backfill_knows_its_bounds(shop):
    shop.deploy({"every": {"milliseconds": 1}}, name="fast")
    shop.deploy({"after": {"minutes": 5}}, name="after")
    fast, now = shop.one("fast"), shop.now()
    shop.pass_time(100)
    with pytest.raises(schedule_management.TooMany):
        shop.transact(
            schedule_management.backfill, fast.id, now - timedelta(seconds=90), now, "ann"
        )
    with pytest.raises(Conflict, match="not over"):
        shop.transact(schedule_management.backfill, fast.id, now, now + timedelta(hours=1), "ann")
    with pytest.raises(Conflict, match="no due times"):
        shop.transact(schedule_management.backfill, shop.one("after").id, now, now, "ann")


def test_an_unknown_schedule_is_not_found_and_a_stopped_one_is_a_conflict(shop):
    with pytest.raises(NotFound):
        shop.transact(schedule_management.pause, new_id())
    shop.remove(shop.deploy(EVERY_MINUTE))
    for act in (schedule_management.pause, schedule_management.resume):
        with pytest.raises(Conflict):
            shop.transact(act, shop.one().id)
    with pytest.raises(Conflict):
        shop.transact(schedule_management.trigger, shop.one().id, "ann")


def test_the_next_due_times(shop):
    shop.deploy(EVERY_MINUTE, jitter="PT20S")
    row = shop.one()
    due = schedule_management.upcoming(row, shop.now(), 5)
    assert [one.due for one in due] == [row.anchor + timedelta(minutes=n) for n in range(1, 6)]
    assert due[0].fires_at == row.next_fire_at
    assert all(timedelta(0) <= one.fires_at - one.due < timedelta(seconds=20) for one in due)
    assert (
        schedule_management.upcoming(
            shop.transact(schedule_management.pause, row.id), shop.now(), 5
        )
        == []
    )


# Events: the seam for `on`


ON = {"on": {"one": {"with": {"type": "com.example.ping"}}}}


def test_events_start_an_instance_once_with_the_events_as_its_input(shop):
    shop.deploy(ON)
    (row,) = rows.by_event(shop.database, "shop")
    assert rows.by_event(shop.database, "other") == []
    assert row.next_fire_at is None
    assert due.next_due(shop.database) is None
    (started,) = shop.transact(
        schedule_management.trigger_by_event, row.id, "event-1", [{"n": 7}], 1
    )
    assert (
        shop.transact(schedule_management.trigger_by_event, row.id, "event-1", [{"n": 7}], 1) == []
    )
    assert shop.instance(started).input == '[{"n":7}]'
    assert shop.ledger() == [("event", "started", None)]


def test_events_follow_the_policy_for_overlaps(shop):
    shop.deploy(ON, overlap="queue")
    (row,) = rows.by_event(shop.database, "shop")
    (first,) = shop.transact(schedule_management.trigger_by_event, row.id, "1", [1], 1)
    assert shop.transact(schedule_management.trigger_by_event, row.id, "2", [2], 2) == []
    assert shop.transact(schedule_management.trigger_by_event, row.id, "3", [3], 3) == []
    assert shop.outcomes() == ["started", "queued", "skipped"]
    shop.end(first)
    (second,) = shop.settle()
    marks = "select id::text, heard_from from orchestrator.instances where heard_from > 0"
    assert dict(shop.database.all(marks)) == {first: 1, second: 2}, "it waited, and hears on"
    assert shop.instance(second).input == "[2]"


def test_events_of_a_paused_schedule_start_nothing(shop):
    shop.deploy(ON)
    (row,) = rows.by_event(shop.database, "shop")
    shop.transact(schedule_management.pause, row.id)
    assert rows.by_event(shop.database, "shop") == []
    assert shop.transact(schedule_management.trigger_by_event, row.id, "1", [1], 1) == []


# The ledger's bound


def test_the_ledger_forgets_what_is_old_but_not_what_is_queued(shop):
    shop.deploy(EVERY_MINUTE, overlap="queue")
    for _ in range(3):
        shop.pass_time(60)
        shop.fire()
    assert firing_queries.purge(shop.database, timedelta(days=1), 100) == 0
    shop.database.all(
        "update orchestrator.firings set created_at = created_at - interval '31 days'"
    )
    assert firing_queries.purge(shop.database, timedelta(days=30), 100) == 2
    assert shop.outcomes() == ["queued"]


def test_the_ledger_keeps_so_many_entries_of_a_schedule(shop):
    shop.deploy({"every": {"milliseconds": 10}})
    shop.deploy(EVERY_MINUTE, name="other")
    shop.pass_time(61)
    shop.fire()
    before = shop.ledger(shop.one("other").id)
    all_of_it = shop.database.all("select due from orchestrator.firings where schedule_id = %s"
                                  " order by due", (shop.one().id,))  # fmt: skip
    while firing_queries.purge(shop.database, timedelta(days=30), 20, 7):
        pass
    left = shop.database.all("select due from orchestrator.firings where schedule_id = %s"
                             " order by due", (shop.one().id,))  # fmt: skip
    assert left == all_of_it[-20:]
    assert shop.ledger(shop.one("other").id) == before != []
