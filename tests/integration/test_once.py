"""`once`: an effect in the users' own database, on connections of each kind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
import sqlalchemy as sa

from orchestrator.database.connection.database import Database
from orchestrator.execution.step.current_step import CurrentStep
from orchestrator.outbox import create_effects_table, once
from tests.support.row_lock_races import racing

KEY = "key-1"


@pytest.fixture(params=["psycopg2", "psycopg", "sqlalchemy", "sqlite"])
def connection(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[Any]:
    kind = request.param
    if kind == "sqlite":
        made: Any = sqlite3.connect(tmp_path / "shop.db")
        made.execute(create_effects_table("sqlite"))
        made.execute("create table ledger (amount int)")
    elif kind == "sqlalchemy":
        engine = sa.create_engine(database_url)
        made = engine.connect()
        made.exec_driver_sql(create_effects_table("postgresql"))
        made.exec_driver_sql("create table ledger (amount int)")
    else:
        made = pytest.importorskip(kind).connect(database_url)
        made.cursor().execute(create_effects_table("postgresql"))
        made.cursor().execute("create table ledger (amount int)")
    made.commit()
    yield made
    made.close()
    if kind == "sqlalchemy":
        engine.dispose()


def run(connection: Any, statement: str) -> Any:
    if hasattr(connection, "exec_driver_sql"):
        return connection.exec_driver_sql(statement)
    cursor = connection.cursor()
    cursor.execute(statement)
    return cursor


def ledger(connection: Any) -> int:
    return int(run(connection, "select count(*) from ledger").fetchone()[0])


def pay(connection: Any) -> Any:
    with once(connection, KEY) as effect:
        if effect.is_first:
            run(connection, "insert into ledger values (5)")
            effect.result = {"balance": 5}
    return effect.result


def test_a_second_attempt_gets_the_first_ones_result(connection):
    assert pay(connection) == {"balance": 5}
    connection.commit()
    assert pay(connection) == {"balance": 5}
    connection.commit()
    assert ledger(connection) == 1


def test_what_was_rolled_back_is_made_by_the_next_attempt(connection):
    pay(connection)
    connection.rollback()
    assert pay(connection) == {"balance": 5}
    connection.commit()
    assert ledger(connection) == 1


def test_an_error_in_the_block_takes_the_record_back(connection):
    """Also where the task catches it and commits what it had done before."""
    with pytest.raises(ZeroDivisionError), once(connection, KEY):
        raise ZeroDivisionError
    connection.commit()
    assert pay(connection) == {"balance": 5}
    connection.commit()
    assert ledger(connection) == 1


def test_an_attempt_waits_for_the_other_one_and_makes_nothing(database: Database) -> None:
    """A worker that was given up still runs: its transaction decides, not its lease."""
    database.all(create_effects_table("postgresql") + "; create table ledger (amount int)")
    with (
        closing(psycopg2.connect(database.url)) as old,
        closing(psycopg2.connect(database.url)) as new,
    ):
        pay(old)
        with racing(database) as racers:
            second = racers.start(pay, new)
            old.commit()
            assert second.result() == {"balance": 5}
        new.commit()
    assert database.all("select count(*) from ledger") == [(1,)]


def test_an_attempt_goes_on_where_the_other_one_rolls_back(database: Database) -> None:
    database.all(create_effects_table("postgresql") + "; create table ledger (amount int)")
    with (
        closing(psycopg2.connect(database.url)) as old,
        closing(psycopg2.connect(database.url)) as new,
    ):
        pay(old)
        with racing(database) as racers:
            second = racers.start(pay, new)
            old.rollback()
            second.result()
        new.commit()
    assert database.all("select count(*) from ledger") == [(1,)]


def test_a_missing_table_is_said(database: Database) -> None:
    missing = pytest.raises(psycopg2.errors.UndefinedTable, match="orchestrator_effects")
    with closing(psycopg2.connect(database.url)) as connection, missing:
        pay(connection)


def test_effects_of_one_step_have_names(database: Database) -> None:
    database.all(create_effects_table("postgresql"))
    attempt: Any = None
    step = CurrentStep("i", None, "/do/0/a", 1, "step-key", None, attempt)
    with closing(psycopg2.connect(database.url)) as connection:
        for name in ("", "debit", "credit"):
            with step.once(connection, name) as effect:
                assert effect.is_first
        connection.commit()
    keys = database.all("select effect from orchestrator_effects order by 1")
    assert keys == [("step-key",), ("step-key/credit",), ("step-key/debit",)]
