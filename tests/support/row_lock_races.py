"""Two sessions of Postgres that compete for one row: which has the lock, which waits, which is
next.

Nothing sleeps. The test stops the first session at the interesting point, starts the second one in
a thread, observes that it waits, then releases the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from orchestrator.database.connection.database import UNBOUNDED, Database, Transaction

P = ParamSpec("P")
T = TypeVar("T")

#: The advisory lock that gates stand behind.
_KEY = 4_100_816
_PASS = (
    "create or replace function public.pass() returns boolean language plpgsql as"
    f" 'begin perform pg_advisory_xact_lock_shared({_KEY}); return true; end'; "
)


def waiting(database: Database) -> int:
    """How many sessions of this database wait for a lock: an awaited fact, not a sleep."""
    row = database.one(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        " and datname = current_database()"
    )
    return int(row[0]) if row else 0


class Racers:
    """What several sessions do at once, each seen to wait before the next one starts."""

    def __init__(self, database: Database, pool: ThreadPoolExecutor) -> None:
        self._database = database
        self._pool = pool

    def start(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run it in a thread until it stands before a lock, which somebody else must hold."""
        before = waiting(self._database)
        racer = self._pool.submit(act, *args, **kwargs)
        while waiting(self._database) <= before:
            assert not racer.done(), f"it did not wait, and is done: {racer.result()}"
        return racer


@contextmanager
def racing(database: Database) -> Iterator[Racers]:
    """Racers on a database; none of them outlives the block."""
    with ThreadPoolExecutor(20) as pool:
        yield Racers(database, pool)


class Undone(Exception):
    """The first session's transaction comes to nothing."""


@contextmanager
def first(database: Database, *, undone: bool = False) -> Iterator[Transaction]:
    """The transaction of the session that is first: open for the block, then committed, or
    rolled back where it is to be `undone`."""
    try:
        with database.transaction(UNBOUNDED) as transaction:
            yield transaction
            if undone:
                raise Undone
    except Undone:
        pass


@contextmanager
def stopped_in_save(database: Database) -> Iterator[None]:
    """Whoever saves a transition stops in it, its rows changed and not committed, until the
    end of the block."""
    database.all(
        _PASS
        + "create or replace function public.stop() returns trigger language plpgsql as"
        + " 'begin perform public.pass(); return new; end';"
        + " create or replace trigger stop before insert on orchestrator.history"
        + " for each row execute function public.stop()"
    )
    with database.transaction(UNBOUNDED) as gate:
        shut(gate)
        yield


def stop_at(database: Database, table: str) -> None:
    """Every statement that reads this table stops there, its snapshot taken, while another
    session holds the gate `shut`. For good: the database must be the test's own."""
    database.all(
        _PASS
        + f"alter table orchestrator.{table} rename to {table}_behind;"
        + f" create view orchestrator.{table} as select * from orchestrator.{table}_behind"
        + " where public.pass()"
    )


def shut(transaction: Transaction) -> None:
    """Shut the gate until the transaction ends; its own session still passes."""
    transaction.one("select pg_advisory_xact_lock(%s)", (_KEY,))


@contextmanager
def without(database: Database, function: str, guard: str) -> Iterator[None]:
    """A function of ours without one of its guards, to see that a race is lost then."""
    row = database.one("select pg_get_functiondef(%s::regproc)", (f"orchestrator.{function}",))
    assert row is not None
    whole: Any = row[0]
    assert whole.count(guard) == 1, f"{function} has no such guard: {guard}"
    database.all(whole.replace(guard, ""))
    try:
        yield
    finally:
        database.all(whole)
