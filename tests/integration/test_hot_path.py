"""What makes the hot path fast stays so: connections that are kept, plans, changes in place."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from orchestrator import ids
from orchestrator.core.values import StimulusKind
from orchestrator.database import slices, stimuli
from orchestrator.database.connection import Database
from orchestrator.errors import DatabaseUnavailable

_SELF = "select pg_backend_pid()"


@pytest.fixture
def keeping(database_url: str) -> Iterator[Database]:
    database = Database(database_url, size=2, keep=True)
    yield database
    database.close()


def test_a_thread_keeps_its_connection_and_shares_it_with_nobody(keeping: Database) -> None:
    mine = keeping.one(_SELF)
    assert keeping.engine.pool.checkedout() == 1  # type: ignore[attr-defined]
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
    stimuli.put(database, id, StimulusKind.START)
    database.one("select pg_stat_force_next_flush()")
    before = _scans(looking)
    for _ in range(10):
        assert slices.read_inbox(database, id) is not None
        assert slices.claim(database, ids.new_id(), id, "shop.pay", ids.new_id(), 1, "t.0") is None
    database.one("select pg_stat_force_next_flush()")
    assert _scans(looking) == before
    database.close()
    looking.close()


def _scans(database: Database) -> list[tuple[object, ...]]:
    return database.all(
        "select relname, seq_scan from pg_stat_user_tables"
        " where relname in ('instances', 'stimuli', 'attempts') order by 1"
    )


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
