"""Beats as processes: killed, stopped, frozen and lied to about the time, they fire everything
once and nothing early."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from orchestrator.embedded.supervisor import Process
from orchestrator.errors import DatabaseUnavailable
from orchestrator.execution.entry_points.beat_scheduler import Scheduler
from orchestrator.scheduler.maintenance_loop import MaintenanceLoop
from orchestrator.task_dispatcher import TaskDispatcher
from tests.benchmarks import timers
from tests.support.stack import Stack
from tests.support.timers import arm, fired, report

APP = "tests.celery_apps.periodic"
#: Debian's package libfaketime.
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@pytest.fixture
def stack(tmp_path: Path, database_url: str, broker_url: str) -> Iterator[Stack]:
    with Stack(tmp_path, database_url, broker_url) as stack:
        yield stack


def queued(stack: Stack, task: str) -> list[dict[str, Any]]:
    """The messages of a task that wait at the broker, the oldest first."""
    with redis.Redis.from_url(stack.broker_url) as broker:
        waiting = [json.loads(each) for each in reversed(broker.lrange("celery", 0, -1))]
    return [each for each in waiting if each["headers"]["task"] == task]


def ticks(stack: Stack) -> list[str]:
    """The ids of the entry `tick`'s messages."""
    return [message["headers"]["id"] for message in queued(stack, "periodic.tick")]


def listening(stack: Stack, beats: int) -> bool:
    """Whether so many beats sleep on LISTEN: they have looked at everything once."""
    rows = stack.sql(
        "select count(*) from pg_stat_activity where query = 'listen orchestrator_timers'"
        " and datname = current_database()"
    )
    return int(rows[0][0]) >= beats


def two_beats(stack: Stack) -> list[Process]:
    beats = [stack.beat(name, APP, restart=True) for name in ("one", "two")]
    stack.until(lambda: listening(stack, 2), "two beats listen")
    return beats


@pytest.mark.slow
def test_timers_of_two_beats_one_of_which_is_killed_stopped_and_frozen(stack: Stack) -> None:
    one, two = two_beats(stack)
    arm(stack, 600, within=4, after=0.2)
    stack.until(lambda: fired(stack) >= 100, "the first timers fire")
    one.kill()
    stack.until(lambda: fired(stack) >= 250, "the other beat goes on")
    two.signal(signal.SIGTERM)
    stack.until(lambda: fired(stack) >= 400, "the killed one is back")
    one.signal(signal.SIGSTOP)
    stack.until(lambda: fired(stack) == 600, "all fire")
    one.signal(signal.SIGCONT)
    found = report(stack)
    assert (found.fired, found.early, found.double) == (600, 0, 0)
    assert stack.sql("select count(*) from orchestrator.timers") == [(0,)]


def test_a_timer_due_before_the_next_look_is_announced(stack: Stack) -> None:
    stack.beat("one", APP)
    stack.until(lambda: listening(stack, 1), "the beat listens")
    arm(stack, 1, within=0, after=0.3)
    stack.until(lambda: fired(stack) == 1, "it fires")
    assert report(stack).early == 0


def test_a_beat_that_is_ended_in_the_midst_of_its_work_ends(
    database_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SIGTERM's handler does it: what is at work then fails, as if Postgres were away."""
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", database_url)
    monkeypatch.setenv("ORCHESTRATOR_BROKER_URL", broker_url)
    with Celery("ended", broker=broker_url, set_as_current=False) as app:
        scheduler = Scheduler(app)
        scheduler.tick()
        monkeypatch.setattr(TaskDispatcher, "close", failing)

        def ended(_: MaintenanceLoop, **__: object) -> float:
            scheduler.close()
            return failing()

        monkeypatch.setattr(MaintenanceLoop, "run", ended)
        with pytest.raises(SystemExit):
            scheduler.tick()
        with pytest.raises(SystemExit):
            scheduler.tick()


def failing(*_: object) -> float:
    raise DatabaseUnavailable("closed meanwhile")


@pytest.mark.slow
def test_periodic_entries_are_sent_once_for_each_due_time_whoever_dies(stack: Stack) -> None:
    one, two = two_beats(stack)
    stack.until(lambda: len(ticks(stack)) >= 4, "the entry is sent")
    one.kill()
    stack.until(lambda: len(ticks(stack)) >= 8, "the other beat goes on")
    two.kill()
    stack.until(lambda: len(ticks(stack)) >= 16, "they are back")
    one.stop()
    two.stop()
    ids = ticks(stack)
    assert len(ids) == len(set(ids))
    rows = stack.sql(
        "select due, sent_at from orchestrator.celery_beat_firings where entry = 'tick'"
    )
    noted = {f"beat:tick:{due.isoformat().replace('+00:00', 'Z')}" for due, sent in rows if sent}
    assert noted <= set(ids)
    assert len(set(ids) - noted) <= 2, "each beat was killed once, between sending and noting it"
    dues = sorted(datetime.fromisoformat(id.removeprefix("beat:tick:")) for id in ids)
    assert {(b - a).total_seconds() % 0.25 for a, b in pairwise(dues)} == {0}
    message = queued(stack, "periodic.tick")[0]
    assert json.loads(base64.b64decode(message["body"]))[0] == [1]
    assert queued(stack, "periodic.nightly") == []


@pytest.mark.slow
def test_a_beat_whose_clock_is_moved_back_and_forth_fires_nothing_early(
    stack: Stack, tmp_path: Path
) -> None:
    if FAKETIME is None:
        pytest.skip("needs libfaketime, which Debian's package of that name has")
    clock = tmp_path / "clock"
    clock.write_text("+3600\n")
    lied_to = {
        "LD_PRELOAD": FAKETIME,
        "FAKETIME_TIMESTAMP_FILE": clock,
        "FAKETIME_NO_CACHE": 1,
        "DONT_FAKE_MONOTONIC": 1,
        "FAKETIME_DONT_FAKE_MONOTONIC": 1,
    }
    stack.beat("one", APP, env=lied_to)
    stack.until(lambda: listening(stack, 1), "the beat listens")
    arm(stack, 300, within=3, after=0.5)
    for number, moved in enumerate(("-3600", "+7200", "-7200", "+0"), start=1):
        stack.until(lambda count=60 * number: fired(stack) >= count, "timers fire")  # type: ignore[misc]
        clock.write_text(f"{moved}\n")
    stack.until(lambda: fired(stack) == 300, "all fire")
    found = report(stack)
    assert (found.fired, found.early, found.double) == (300, 0, 0)
    sent = stack.sql(
        "select count(*) from orchestrator.celery_beat_firings where created_at < due or due >"
        " clock_timestamp()"
    )
    assert sent == [(0,)]
    assert len(ticks(stack)) == len(set(ticks(stack))) >= 8
    assert queued(stack, "periodic.nightly") == []


@pytest.mark.slow
def test_a_beat_outlives_a_restart_of_postgres(
    stack: Stack, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("postgres")
    stack.beat("one", APP)
    stack.until(lambda: listening(stack, 1), "the beat listens")
    server.kill()
    server.start()
    stack._postgres = None
    arm(stack, 10, within=0.5)
    stack.until(lambda: fired(stack) == 10, "all fire")
    assert report(stack).early == 0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ten_thousand_timers_while_beats_are_killed_stopped_and_frozen_20_times(
    stack: Stack,
) -> None:
    found = timers.disturbed(stack, two_beats(stack))
    assert found.armed >= timers.COUNT
    assert (found.fired, found.early, found.double) == (found.armed, 0, 0)
