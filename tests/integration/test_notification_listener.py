"""LISTEN: announcements, rings, a server that goes away, and what is left open."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from orchestrator.database.connection.database import Database
from orchestrator.database.connection.notification_listener import NotificationListener

CHANNEL = "listening_test"
LISTENING = (
    "select pid from pg_stat_activity where query = 'listen listening_test'"
    " and datname = current_database()"
)


@pytest.fixture
def listener(database_url: str) -> Iterator[NotificationListener]:
    made = NotificationListener(database_url, CHANNEL)
    yield made
    made.close()


def test_what_is_announced_is_told(database: Database, listener: NotificationListener) -> None:
    assert listener.wait(600) == []  # it listens
    database.all("select pg_notify(%s, 'one'), pg_notify(%s, 'two')", (CHANNEL, CHANNEL))
    assert listener.wait(600) == ["one", "two"]
    assert listener.wait(0) == []


def test_so_it_is_in_a_process_with_more_than_a_thousand_files(
    database: Database, database_url: str
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft if soft == resource.RLIM_INFINITY else max(soft, 2048)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while opened.enter_context(open(os.devnull)).fileno() < 1024:
            pass
        listener = NotificationListener(database_url, CHANNEL)
        opened.callback(listener.close)
        listener.wait(600)
        database.all("select pg_notify(%s, 'one')", (CHANNEL,))
        assert listener.wait(600) == ["one"]
        assert listener.wait(0) == []
        away = NotificationListener("postgresql://127.0.0.1:1/none", CHANNEL)
        opened.callback(away.close)
        assert away.wait(0) == []


def test_a_ring_wakes_who_waits_and_whoever_will(listener: NotificationListener) -> None:
    listener.wait(600)
    listener.wake()
    assert listener.wait(600) == []
    waiting = threading.Thread(target=listener.wait, args=(600,))
    waiting.start()
    listener.wake()
    waiting.join(30)
    assert not waiting.is_alive()


def test_more_rings_than_anybody_hears_hold_nobody_up(listener: NotificationListener) -> None:
    for _ in range(5_000):
        listener.wake()
    assert listener.wait(600) == []


def test_it_listens_again_after_its_session_was_ended(
    database: Database, listener: NotificationListener
) -> None:
    listener.wait(600)
    database.all(f"select pg_terminate_backend(pid) from ({LISTENING}) x")

    def heard() -> list[str]:
        database.all("select pg_notify(%s, 'again')", (CHANNEL,))
        return listener.wait(600)

    # It hears that it is ended, loses its session, begins anew: each says to look, at once.
    assert ["again"] in (heard() for _ in range(6))


def test_without_postgres_it_sleeps_and_can_be_rung() -> None:
    listener = NotificationListener("postgresql://127.0.0.1:1/none", CHANNEL)
    listener.wake()
    assert listener.wait(600) == []
    assert listener.wait(0) == []
    listener.close()


def test_closing_leaves_nothing_open(database_url: str) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        listener = NotificationListener(database_url, CHANNEL)
        listener.wait(600)
        listener.close()
        listener.close()
        listener.wake()  # whoever comes too late wakes nobody
    assert sorted(os.listdir("/proc/self/fd")) == before
