"""Readers of the feeds pass no row by, and wait for nobody who writes none."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg2
import pytest

from orchestrator.database.connection.database import Database
from orchestrator.database.connection.session import Session
from orchestrator.database.events import event_queries, transition_feed
from orchestrator.database.events.transition_feed import Horizon
from tests.support.events import event


class Writer:
    """A session of somebody who writes: one transaction at a time."""

    def __init__(self, url: str) -> None:
        self.connection: Any = psycopg2.connect(url)
        self.put: list[str] = []
        self.committed: list[str] = []

    def all(self, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall() if cursor.description else []

    def one(self, sql: str, params: Any = ()) -> tuple[Any, ...] | None:
        rows = self.all(sql, params)
        return rows[0] if rows else None

    def commit_with(self, sql: str, params: Any = (), then: str = "") -> list[tuple[Any, ...]]:
        raise AssertionError("a writer reads nothing after its end")

    def emit(self, id: str) -> None:
        event_queries.put(self, "shop", [event(id)])
        self.put.append(id)

    def commit(self) -> None:
        self.connection.commit()
        self.committed += self.put
        self.put = []

    def roll_back(self) -> None:
        self.connection.rollback()
        self.put = []

    def id(self) -> None:
        """Have a transaction id, long before the first row."""
        self.all("select pg_current_xact_id()")


class Follower:
    """Reads the feed as far as it may."""

    def __init__(self, reader: Session) -> None:
        self.reader = reader
        self.horizon = Horizon(lambda _: None)
        self.place = self.horizon.first_position(reader, 0)
        self.read: list[str] = []

    def look(self) -> list[str]:
        """What is new."""
        end = self.horizon.decided_position(self.reader)
        rows = transition_feed.events(self.reader, self.place, end) if end > self.place else []
        self.place = max(self.place, end)
        found = [str(row[2]["id"]) for row in rows]
        self.read += found
        return found


@pytest.fixture
def follower(database: Database) -> Follower:
    return Follower(database)


@pytest.fixture
def writers(database_url: str) -> Iterator[list[Writer]]:
    with ExitStack() as stack:
        made = [Writer(database_url) for _ in range(5)]
        for one in made:
            stack.callback(one.connection.close)
        yield made


def test_a_row_is_read_once_its_transaction_has_ended(
    follower: Follower, writers: list[Writer]
) -> None:
    first, second, third, *_ = writers
    first.emit("1")
    second.emit("2")
    second.commit()
    assert follower.look() == []
    third.emit("3")
    first.commit()
    assert follower.look() == ["1", "2"]
    third.commit()
    assert follower.look() == ["3"]


def test_an_old_transaction_that_writes_late_is_not_passed_by(
    follower: Follower, writers: list[Writer]
) -> None:
    """Its transaction id is lower than that of everything that was read."""
    old, new, *_ = writers
    old.id()
    new.emit("new")
    new.commit()
    assert follower.look() == ["new"]
    old.emit("late")
    assert follower.look() == []
    old.commit()
    assert follower.look() == ["late"]


def test_what_a_savepoint_takes_back_holds_up_until_the_end_only(
    follower: Follower, writers: list[Writer]
) -> None:
    one, other, *_ = writers
    one.all("savepoint s")
    one.emit("gone")
    one.all("rollback to savepoint s")
    one.put = []
    other.emit("kept")
    other.commit()
    one.emit("after")
    one.commit()
    assert follower.look() == ["kept", "after"]


def test_who_writes_no_row_of_a_feed_delays_nobody(
    follower: Follower, writers: list[Writer], postgres_url: str
) -> None:
    """Not in this database, though it has a start in hand, and not in another one."""
    user, ours, *_ = writers
    user.all("create table public.orders (id int)")
    user.all("insert into public.orders values (1)")
    user.all("insert into orchestrator.stimuli (instance_id, kind) values (%s, 'agenda')",
             ("00000000-0000-7000-8000-000000000000",))  # fmt: skip
    elsewhere = psycopg2.connect(postgres_url)
    try:
        elsewhere.cursor().execute("create temp table t as select pg_current_xact_id()")
        ours.emit("1")
        ours.commit()
        assert follower.look() == ["1"]
    finally:
        elsewhere.close()


def test_a_prepared_transaction_is_waited_for(follower: Follower, writers: list[Writer]) -> None:
    """Its session may be gone, or the server may have been started again."""
    one, other, *_ = writers
    if other.all("show max_prepared_transactions") == [("0",)]:
        pytest.skip("this server allows no prepared transactions (max_prepared_transactions)")
    one.emit("prepared")
    assert follower.look() == []
    one.all("prepare transaction 'feed'")
    other.emit("2")
    other.commit()
    assert follower.look() == []
    one.roll_back()
    one.connection.autocommit = True
    one.all("commit prepared 'feed'")
    assert follower.look() == ["prepared", "2"]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_order_every_row_is_read_once(
    seed: int, follower: Follower, writers: list[Writer]
) -> None:
    """Five sessions begin, write, take back, commit and roll back in any order; a reader that
    looks in between, and one that begins late, miss nothing and read nothing twice."""
    chance = random.Random(seed)
    count = 0
    for _ in range(120):
        one = chance.choice(writers)
        act = chance.choice(["id", "emit", "emit", "savepoint", "commit", "roll back", "look"])
        if act == "id":
            one.id()
        elif act == "emit":
            count += 1
            one.emit(str(count))
        elif act == "savepoint":
            one.all("savepoint s")
            event_queries.put(one, "shop", [event(f"not {count}")])
            one.all("rollback to savepoint s")
        elif act == "commit":
            one.commit()
        elif act == "roll back":
            one.roll_back()
        else:
            follower.look()
    for one in writers:
        one.commit()
    follower.look()
    committed = sorted(int(id) for one in writers for id in one.committed)
    assert sorted(map(int, follower.read)) == committed
    assert len(committed) > 10


def test_the_sequences_of_positions_and_events_keep_no_values_back(database: Database) -> None:
    """A session that had some in hand would give out lower ones after higher ones."""
    rows = database.all(
        "select sequencename, cache_size from pg_sequences where schemaname = 'orchestrator'"
        " and sequencename in ('positions', 'events_receipt_number_seq') order by 1"
    )
    assert rows == [("events_receipt_number_seq", 1), ("positions", 1)]
