"""`start_in` on every kind of connection: it commits and rolls back with it, and wakes the beats
after the commit; and the relay of databases that are not the orchestrator's."""

from __future__ import annotations

import asyncio
import select
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.orm import Session

from orchestrator.cli import main
from orchestrator.client import Client, Unreachable
from orchestrator.json_codec import NotJson
from orchestrator.outbox import Relay, hint, hint_async, start_in, start_in_async
from orchestrator.outbox.connections import adapter_of
from orchestrator.outbox.statements import create_table
from orchestrator.start_requests.outbox_mover import OutboxMover
from tests.support.api import Api, document
from tests.support.outbox_logins import outbox_login

CHANNEL = "orchestrator_timers"
NAIVE = datetime(2026, 1, 2)  # noqa: DTZ001  (without a zone)
MORE: dict[str, Any] = {
    "business_id": "o-1",
    "labels": {"shop": "1"},
    "start_at": datetime(2099, 1, 1, tzinfo=UTC),
    "version": "1.0.0",
}


@pytest.fixture
def url(api: Api) -> Iterator[str]:
    api.deploy(document("order"))
    with outbox_login(api.database) as made:
        yield made


@pytest.fixture
def mover(api: Api) -> OutboxMover:
    made: OutboxMover = api.client.application.extensions["orchestrator"].outbox
    return made


@pytest.fixture
def beat(api: Api) -> Iterator[Callable[[], int]]:
    """How many wake-ups a beat has received; waits for the first one."""
    with closing(psycopg2.connect(api.database.url)) as listener:
        listener.autocommit = True
        listener.cursor().execute(f"listen {CHANNEL}")

        def received(patience: float = 10) -> int:
            select.select([listener], [], [], patience)
            listener.poll()
            found = len(listener.notifies)
            listener.notifies.clear()
            return found

        yield received


def _psycopg2(url: str, end: str) -> str:
    with closing(psycopg2.connect(url)) as connection:
        id = start_in(connection, "shop/order", {"a": 1}, **MORE)
        with pytest.raises(RuntimeError, match="after the commit"):
            hint(connection)
        getattr(connection, end)()
        hint(connection)
        return id


def _psycopg(url: str, end: str) -> str:
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(url) as connection:
        id = start_in(connection, "shop/order", {"a": 1}, **MORE)
        with pytest.raises(RuntimeError, match="after the commit"):
            hint(connection)
        getattr(connection, end)()
        hint(connection)
        return id


def _autocommit(url: str, end: str) -> str:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("begin")
        id = start_in(connection, "shop/order", {"a": 1}, **MORE)
        cursor.execute(end)
        hint(connection)
        return id


def _engine(url: str, driver: str) -> sa.Engine:
    pytest.importorskip(driver)
    return sa.create_engine(url.replace("postgresql://", f"postgresql+{driver}://"))


def _core(driver: str) -> Callable[[str, str], str]:
    def run(url: str, end: str) -> str:
        engine = _engine(url, driver)
        with engine.connect() as connection:
            id = start_in(connection, "shop/order", {"a": 1}, **MORE)
            getattr(connection, end)()
        engine.dispose()
        return id

    return run


def _session(driver: str) -> Callable[[str, str], str]:
    def run(url: str, end: str) -> str:
        engine = _engine(url, driver)
        with Session(engine) as session:
            id = start_in(session, "shop/order", {"a": 1}, **MORE)
            getattr(session, end)()
        engine.dispose()
        return id

    return run


async def _asyncpg(url: str, end: str) -> str:
    asyncpg = pytest.importorskip("asyncpg")
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    id = await start_in_async(connection, "shop/order", {"a": 1}, **MORE)
    with pytest.raises(RuntimeError, match="after the commit"):
        await hint_async(connection)
    await getattr(transaction, end)()
    await hint_async(connection)
    await connection.close()
    return id


async def _psycopg_async(url: str, end: str) -> str:
    psycopg = pytest.importorskip("psycopg")
    async with await psycopg.AsyncConnection.connect(url) as connection:
        id = await start_in_async(connection, "shop/order", {"a": 1}, **MORE)
        await getattr(connection, end)()
        await hint_async(connection)
        return id


async def _session_async(url: str, end: str) -> str:
    pytest.importorskip("asyncpg")
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    async with AsyncSession(engine) as session:
        id = await start_in_async(session, "shop/order", {"a": 1}, **MORE)
        await getattr(session, end)()
    await engine.dispose()
    return id


def _awaited(run: Callable[[str, str], Any]) -> Callable[[str, str], str]:
    return lambda url, end: asyncio.run(run(url, end))


KINDS: dict[str, Callable[[str, str], str]] = {
    "psycopg2": _psycopg2,
    "psycopg": _psycopg,
    "autocommit": _autocommit,
    "core-psycopg2": _core("psycopg2"),
    "core-psycopg": _core("psycopg"),
    "session-psycopg2": _session("psycopg2"),
    "session-psycopg": _session("psycopg"),
    "asyncpg": _awaited(_asyncpg),
    "psycopg-async": _awaited(_psycopg_async),
    "session-asyncpg": _awaited(_session_async),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_commit_starts_it_and_wakes_the_beats(api, url, mover, beat, kind):
    id = KINDS[kind](url, "commit")
    assert beat() >= 1
    assert mover.move().instances == [id]
    found = api.get(f"/v1/instances/{id}").json
    assert (found["business_id"], found["labels"], found["input"]) == (
        "o-1",
        {"shop": "1"},
        {"a": 1},
    )


def test_a_hint_that_fails_spoils_no_commit(api, url, mover):
    """The commit has succeeded, and a caller who saw an error would place the order again."""

    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"), pool_size=1)
    with Session(engine) as session:
        connection = session.connection()
        id = start_in(session, "shop/order", {"id": 1})
        raw = connection.connection.dbapi_connection
        assert raw is not None
        sa.event.listen(engine.pool, "checkin", lambda *_: raw.close(), insert=True)
        session.commit()
    assert (
        "Connections in pool" in engine.pool.status()
        and "Current Checked out connections: 0" in engine.pool.status()
    )
    assert mover.move().instances == [id]
    engine.dispose()


def test_a_connection_is_known_by_its_kind_however_it_is_wrapped(url):
    class Users(psycopg2.extensions.connection):
        """A project's own, as `connection_factory` makes it."""

    with closing(psycopg2.connect(url, connection_factory=Users)) as connection:
        assert adapter_of(connection).dialect == "postgresql"

    class Counted(sqlite3.Connection):
        pass

    with closing(sqlite3.connect(":memory:", factory=Counted)) as database:
        assert adapter_of(database).dialect == "sqlite"


@pytest.mark.parametrize("kind", KINDS)
def test_a_rollback_starts_nothing(api, url, mover, kind):
    id = KINDS[kind](url, "rollback")
    assert mover.move().count == 0
    assert api.get(f"/v1/instances/{id}").status_code == 404


def test_notify_is_sent_by_the_commit_itself(api, url, beat):
    with closing(psycopg2.connect(url)) as connection:
        start_in(connection, "shop/order", notify=True)
        assert beat(0) == 0
        connection.commit()
        assert beat() == 1


def test_a_savepoint_rolls_back_alone(api, url, mover):
    engine = sa.create_engine(url)
    with Session(engine) as session:
        kept = start_in(session, "order")
        savepoint = session.begin_nested()
        start_in(session, "order")
        savepoint.rollback()
        session.commit()
    engine.dispose()
    assert mover.move().instances == [kept]


def test_values_are_those_of_tasks(api, url, mover):
    with closing(psycopg2.connect(url)) as connection:
        id = start_in(connection, "order", {"price": Decimal("1.10"), "at": NAIVE})
        with pytest.raises(NotJson, match="the number nan"):
            start_in(connection, "order", {"price": float("nan")})
        with pytest.raises(NotJson, match=r"\$\.x"):
            start_in(connection, "order", {"x": object()})
        with pytest.raises(ValueError, match="no zone"):
            start_in(connection, "order", start_at=NAIVE)
        connection.commit()
    mover.move()
    expected = {"price": "1.10", "at": "2026-01-02T00:00:00"}
    assert api.get(f"/v1/instances/{id}").json["input"] == expected


def test_an_unknown_connection_is_refused():
    with pytest.raises(TypeError, match=r"can't use a builtins\.object"):
        start_in(object(), "order")


def test_importing_it_loads_no_driver():
    code = (
        "import sys, orchestrator.outbox as o; o.start_in;"
        "assert not {'psycopg2', 'psycopg', 'sqlalchemy', 'django', 'celery'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- the relay ----------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Callable[[], sqlite3.Connection]:
    """A shop's database of its own kind."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute(create_table("sqlite"))
    return lambda: sqlite3.connect(path)


@pytest.fixture
def relay(served: str, shop: Any) -> Iterator[Relay]:
    with Client(served) as client:
        yield Relay(shop, client, "shop")


def rows(shop: Any) -> list[tuple[Any, ...]]:
    with closing(shop()) as connection:
        return list(connection.execute("select id, error from orchestrator_outbox"))


def test_a_row_starts_once_under_its_own_id(api, shop, relay, monkeypatch):
    api.deploy(document("order"))
    with closing(shop()) as connection:
        id = start_in(connection, "order", {"a": 1})
        assert relay.move() == 0, "it is not committed"
        connection.commit()
        start_in(connection, "order")
        connection.rollback()
    with monkeypatch.context() as patch:  # the relay dies between the start and the removal
        patch.setattr("orchestrator.outbox.statements.DELETE", "nonsense {}")
        with pytest.raises(sqlite3.OperationalError):
            relay.move()
    assert [row[0] for row in rows(shop)] == [id]
    for _ in range(2):
        relay.move()
    assert rows(shop) == []
    (started,) = api.get("/v1/instances").json["items"]
    assert started["business_id"] == id


def test_it_starts_nothing_more_after_the_recorded_answer_is_gone(api, shop, relay):
    api.deploy(document("order"))
    with closing(shop()) as connection:
        start_in(connection, "order")
        connection.commit()
        kept = list(connection.execute("select id, request from orchestrator_outbox"))
        relay.move()
        connection.executemany("insert into orchestrator_outbox (id, request) values (?, ?)", kept)
        connection.commit()
    api.all("delete from orchestrator.idempotency_records")
    relay.move()
    assert rows(shop) == []
    assert len(api.get("/v1/instances").json["items"]) == 1


def test_a_refused_row_stays_with_its_error_and_stops_no_other(api, shop, relay):
    api.deploy(document("order"))
    with closing(shop()) as connection:
        bad, good = start_in(connection, "oder"), start_in(connection, "order")
        connection.execute("insert into orchestrator_outbox (id, request) values ('x', '{no')")
        connection.commit()
    relay.move()
    refused = dict(rows(shop))
    assert refused.keys() == {bad, "x"}
    assert "did you mean 'order'" in refused[bad]
    (started,) = api.get("/v1/instances").json["items"]
    assert started["business_id"] == good
    api.deploy(document("oder"))
    with closing(shop()) as connection:
        connection.execute("update orchestrator_outbox set error = null where id = ?", (bad,))
        connection.commit()
    relay.move()
    assert dict(rows(shop)).keys() == {"x"}


def test_an_api_that_is_away_refuses_nothing(shop):
    with closing(shop()) as connection:
        start_in(connection, "order")
        connection.commit()
    with Client("http://127.0.0.1:1") as client:
        client.transport.pauses = ()
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
            Relay(shop, client).move()
    assert [error for _, error in rows(shop)] == [None]


def test_the_command_moves_what_is_there(api, cli, tmp_path):
    api.deploy(document("order"))
    path = tmp_path / "other.db"
    source = ("outbox-relay", "--from", f"sqlite:///{path}", "--namespace", "shop", "--once")
    cli(*source, "--create-table")
    engine = sa.create_engine(f"sqlite:///{path}")
    with Session(engine) as session:
        id = start_in(session, "order", {"a": 1})
        session.commit()
    engine.dispose()
    cli(*source)
    (started,) = api.get("/v1/instances").json["items"]
    assert started["business_id"] == id


def test_another_postgres_has_the_same_table(api, database_url, served):
    api.deploy(document("order"))
    with closing(psycopg2.connect(database_url)) as connection:
        connection.cursor().execute(create_table("postgresql"))
        id = start_in(connection, "shop/order", relay=True)
        connection.commit()
    with Client(served) as client:
        Relay(lambda: psycopg2.connect(database_url), client).move()
    assert [item["business_id"] for item in api.get("/v1/instances").json["items"]] == [id]


def test_the_table_is_known_for_each_dialect():
    for dialect in ("mysql", "mariadb", "sqlite", "postgresql"):
        assert "create table if not exists orchestrator_outbox" in create_table(dialect)
    with pytest.raises(ValueError, match="'oracle'"):
        create_table("oracle")


@pytest.mark.parametrize(
    ("source", "status", "message"),
    [
        ("nonsense", 2, "no URL of SQLAlchemy"),
        ("oddsql://shop@db/shop", 2, "its dialect is not known"),
        ("oracle+oracledb://shop@db/shop", 2, "is not installed"),
        ("sqlite:////nowhere/at/all.db", 5, "unable to open database file"),
        ("sqlite://", 5, "--create-table"),
    ],
)
def test_a_wrong_source_is_said_without_a_traceback(source, status, message):
    result = CliRunner().invoke(main, ["outbox-relay", "--once", "--from", source])
    assert result.exit_code == status, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
