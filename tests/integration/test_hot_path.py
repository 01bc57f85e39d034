"""What makes the hot path fast stays so: connections that are kept, plans, changes in place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg2
import psycopg2.errors
import pytest

from orchestrator import ids
from orchestrator.core.model import StimulusKind
from orchestrator.database.connection.database import UNBOUNDED, Database
from orchestrator.database.transitions import inbox_queries, instance_slice_reader
from orchestrator.database.transitions.save_request import SiblingClaim
from orchestrator.errors import DatabaseUnavailable
from tests.support.transitions import WORKER, an_instance, ready, take_next

_SELF = "select pg_backend_pid()"


@pytest.fixture
def keeping(database_url: str) -> Iterator[Database]:
    database = Database(database_url, size=2, keep_per_thread=True)
    yield database
    database.close()


def test_a_thread_keeps_its_connection_and_shares_it_with_nobody(keeping: Database) -> None:
    mine = keeping.one(_SELF)
    assert keeping.pool.slots.qsize() == 1
    assert keeping.one(_SELF) == mine
    others: list[object] = []
    other = threading.Thread(target=lambda: others.append(keeping.one(_SELF)))
    other.start()
    other.join()
    assert others != [mine]


def test_a_transaction_has_the_kept_connection_to_itself(keeping: Database) -> None:
    mine = keeping.one(_SELF)
    with keeping.transaction() as transaction:
        assert transaction.one(_SELF) == mine
        assert keeping.one(_SELF) != mine


def test_a_kept_connection_that_breaks_is_not_kept(keeping: Database, database_url: str) -> None:
    (mine,) = keeping.one(_SELF) or ()
    others = Database(database_url)
    others.one("select pg_terminate_backend(%s, 5000)", (mine,))
    others.close()
    with pytest.raises(DatabaseUnavailable):
        keeping.one(_SELF)
    assert keeping.one(_SELF) != (mine,)


def test_breaks_leave_no_more_connections_than_the_pool_may_have(database_url: str) -> None:
    """While some are lent, others break: neither is forgotten, and none of them is kept twice."""
    database, others = Database(database_url, size=3, wait=0.2), Database(database_url)
    mine = "select count(*) from pg_stat_activity where application_name = 'mine'"
    database.url += ("&" if "?" in database.url else "?") + "application_name=mine"
    with database.transaction(UNBOUNDED) as lent:
        lent.one("select 1")
        for _ in range(5):
            with pytest.raises(DatabaseUnavailable):
                _break_one(database, others)
            with ExitStack() as stack:
                for _ in range(2):
                    stack.enter_context(database.transaction(UNBOUNDED)).one("select 1")
                with pytest.raises(DatabaseUnavailable):
                    database.one("select 1")
                assert others.one(mine) == (3,)
        assert lent.one("select 1") == (1,)
    database.close()
    others.close()


def _break_one(database: Database, others: Database) -> None:
    with database.transaction() as broken:
        (pid,) = broken.one(_SELF) or ()
        others.one("select pg_terminate_backend(%s, 5000)", (pid,))
        broken.one("select 1")


def test_the_elders_of_a_broken_connection_are_not_lent(database_url: str) -> None:
    database, others = Database(database_url, size=3), Database(database_url)
    with ExitStack() as stack:
        several = [stack.enter_context(database.transaction()) for _ in range(3)]
        pids = [each.one(_SELF) for each in several]
    others.one("select pg_terminate_backend(pid, 5000) from unnest(%s) pid",
               ([pid for (pid,) in filter(None, pids)],))  # fmt: skip
    with pytest.raises(DatabaseUnavailable):
        database.one("select 1")
    assert [database.one("select 1") for _ in range(3)] == [(1,)] * 3
    database.close()
    others.close()


def test_a_value_that_no_index_takes_is_no_outage(keeping: Database) -> None:
    """Whoever waits for the database to come back would try to save it for ever."""
    long = "".join(ids.new_id() for _ in range(300))
    with pytest.raises(psycopg2.errors.ProgramLimitExceeded):
        keeping.all(
            "insert into orchestrator.events (id, namespace, event_id, source, type, event)"
            " values (%s, 'shop', %s, '/', 'x', '{}')",
            (ids.new_id(), long),
        )
    assert keeping.one("select 1") == (1,)


def test_no_transaction_waits_long_or_keeps_others_waiting(keeping: Database) -> None:
    shown = "select current_setting('lock_timeout'), "
    shown += "current_setting('idle_in_transaction_session_timeout')"
    with keeping.transaction() as transaction:
        assert transaction.one(shown) == ("2s", "5s")


def test_a_plan_that_was_made_on_a_small_table_does_for_a_large_one(database_url: str) -> None:
    """A session keeps its functions' plans, and so would go on scanning the whole table."""
    database, looking = Database(database_url, size=1), Database(database_url)
    id, workflow = ids.new_id(), ids.new_id()
    database.all(
        "insert into orchestrator.instances (id, namespace, workflow_id, workflow, version)"
        " values (%s, 'shop', %s, 'order', '1.0.0')",
        (id, workflow),
    )
    database.all("analyze orchestrator.instances, orchestrator.stimuli, orchestrator.attempts")
    inbox_queries.put(database, id, StimulusKind.START)
    database.one("select pg_stat_force_next_flush()")
    before = _scans(looking)
    for _ in range(10):
        assert instance_slice_reader.read_inbox(database, id) is not None
        assert (
            instance_slice_reader.claim(
                database, ids.new_id(), id, "shop.pay", ids.new_id(), 1, "t.0"
            )
            is None
        )
    database.one("select pg_stat_force_next_flush()")
    assert _scans(looking) == before
    database.close()
    looking.close()


def _scans(database: Database) -> list[tuple[object, ...]]:
    return database.all(
        "select relname, seq_scan from pg_stat_user_tables"
        " where relname in ('instances', 'stimuli', 'attempts') order by 1"
    )


def test_the_next_sibling_costs_nothing_for_what_others_have_waiting(database_url: str) -> None:
    """Planned while nothing waited, the index of everybody's waiting attempts would have done."""
    database, looking = Database(database_url, size=1), Database(database_url)
    mine, other, done = (an_instance(database) for _ in range(3))
    ready(database, done, 200)
    database.all("update orchestrator.attempts set state = 'succeeded'")
    database.all("vacuum analyze orchestrator.attempts")
    wish = SiblingClaim("shop.reserve", "celery", WORKER, 1, "t.0")
    for _ in range(10):
        assert take_next(database, mine, wish) is None
    ready(database, other, 500)
    one = ready(database, mine, 1)[0]
    database.one("select pg_stat_force_next_flush()")
    before = _read(looking)
    found = take_next(database, mine, wish)
    assert found is not None and found.slice.attempt is not None
    assert found.slice.attempt.id == one.id
    database.one("select pg_stat_force_next_flush()")
    assert _read(looking) - before < 20
    database.close()
    looking.close()


def _read(database: Database) -> int:
    """How many attempts the indexes have led to, wanted or not."""
    ((count,),) = database.all(
        "select idx_tup_fetch + seq_tup_read from pg_stat_user_tables where relname = 'attempts'"
    )
    return int(count)


def test_every_function_of_the_hot_path_plans_for_growth(database_url: str) -> None:
    database = Database(database_url)
    assert (
        database.all(
            "select proname from pg_proc p join pg_language l on l.oid = p.prolang"
            " where p.pronamespace = 'orchestrator'::regnamespace and l.lanname = 'plpgsql'"
            " and not coalesce('enable_seqscan=off' = any(p.proconfig), false)"
        )
        == []
    )
    database.close()
