"""What an error of Postgres, of libpq or of the connection means: judged through the driver."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import psycopg2.errorcodes
import psycopg2.extensions
import pytest
from sqlalchemy import create_engine, text

from orchestrator.database.connection.database import (
    UNBOUNDED,
    Database,
    Fenced,
    LockTimeout,
    Superseded,
)
from orchestrator.database.connection.driver_errors import Verdict, verdict_of
from orchestrator.database.schema.upgrade import reaching_postgres
from orchestrator.errors import DatabaseUnavailable, NotFound
from tests.faults.proxy import Proxy
from tests.support.api import Api

#: Classes of Appendix A of Postgres's documentation with which a statement may succeed later.
_AWAY = {"08", "28", "53", "57", "58"}
_SINGLE: dict[str, type[Exception]] = {
    "25006": DatabaseUnavailable,
    "40003": DatabaseUnavailable,
    "25P03": LockTimeout,
    "25P04": LockTimeout,
    "40001": LockTimeout,
    "40P01": LockTimeout,
    "55P03": LockTimeout,
    "OR001": Superseded,
    "OR002": Fenced,
}
#: Success and warnings, which nobody can raise.
_NO_ERROR = {"00", "01", "02"}
_CODES = sorted(
    code
    for name, code in vars(psycopg2.errorcodes).items()
    if name.isupper() and isinstance(code, str) and len(code) == 5 and code[:2] not in _NO_ERROR
)
_RAISE = "do $$ begin raise exception using errcode = '%s', message = 'made up'; end $$"


def _expected(code: str) -> type[Exception]:
    if code in _SINGLE:
        return _SINGLE[code]
    return DatabaseUnavailable if code[:2] in _AWAY else psycopg2.Error


def test_every_sqlstate_is_judged(database: Database) -> None:
    """All that the driver knows, and ours, each raised by Postgres itself."""
    assert len(_CODES) > 200
    wrong = {}
    for code in [*_CODES, "OR001", "OR002"]:
        with pytest.raises(Exception) as caught:  # noqa: PT011  which one is the question
            database.all(_RAISE % code)
        if not isinstance(caught.value, _expected(code)):
            wrong[code] = caught.value
    assert wrong == {}
    assert database.one("select 1") == (1,)


@pytest.mark.parametrize("code", ["08006", "40P01", "57P01", "OR001"])
def test_a_block_learns_what_its_own_statement_met(database: Database, code: str) -> None:
    """Not only its caller: what runs under a row lock tells an outage from a bad stimulus."""
    with database.transaction() as transaction, pytest.raises(_expected(code)):
        transaction.all(_RAISE % code)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (psycopg2.DatabaseError("server closed the connection unexpectedly"), "unavailable"),
        (psycopg2.DatabaseError("SSL SYSCALL error: EOF detected"), "unavailable"),
        (psycopg2.DatabaseError("error with status PGRES_TUPLES_OK and no message from the libpq"),
         "unavailable"),
        (psycopg2.OperationalError("lost synchronization with server"), "unavailable"),
        (psycopg2.OperationalError("could not receive data from server: timed out"), "unavailable"),
        (psycopg2.InterfaceError("connection already closed"), "unavailable"),
        (psycopg2.ProgrammingError("can't adapt type 'object'"), "wrong"),
        (psycopg2.DataError("value out of range"), "wrong"),
        (psycopg2.NotSupportedError("no"), "wrong"),
    ],
    ids=str,
)  # fmt: skip
def test_what_has_no_sqlstate_is_judged_by_its_class(error: psycopg2.Error, verdict: str) -> None:
    assert verdict_of(error) is Verdict(verdict)


class Mangling(Proxy):
    """Passes replies through `mangle`: what arrives of one, and whether the connection lives."""

    mangle: Callable[[bytes], tuple[bytes, bool]] | None = None

    def _replies(self, pair: tuple[socket.socket, socket.socket], writes: threading.Event) -> None:
        client, server = pair
        try:
            while data := server.recv(1 << 16):
                sent, lives = self.mangle(data) if self.mangle else (data, True)
                client.sendall(sent)
                if not lives:
                    break
        except OSError:
            pass
        self._forget(pair)


@pytest.fixture
def proxy(database_url: str) -> Iterator[Mangling]:
    with Mangling(urlsplit(database_url).port or 5432) as made:
        yield made


@pytest.fixture
def behind(proxy: Mangling, database_url: str) -> Iterator[Database]:
    made = Database(_through(proxy, database_url), size=2)
    yield made
    made.close()


def _through(proxy: Mangling, url: str) -> str:
    at = urlsplit(url)
    return at._replace(netloc=at.netloc.replace(f":{at.port}", f":{proxy.port}")).geturl()


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4) + body


#: An error without a SQLSTATE, after which the connection looks sound: to psycopg2 a bare
#: `DatabaseError`.
_BARE = _message(b"E", b"SFATAL\0Mserver closed the connection unexpectedly\0\0")
_READY = _message(b"Z", b"I")

_REPLIES: dict[str, Callable[[bytes], tuple[bytes, bool]]] = {
    "the reply is lost": lambda _: (b"", False),
    "one byte arrives": lambda data: (data[:1], False),
    "half arrives": lambda data: (data[: len(data) // 2], False),
    "all but the last byte arrives": lambda data: (data[:-1], False),
    "the reply is garbage": lambda _: (b"\0" * 64, False),
    "a message is too long": lambda _: (b"D\x7f\xff\xff\xff" + b"x" * 64, False),
    "a row without a description": lambda _: (_message(b"D", b"\0\0") + _READY, False),
    "an error without a SQLSTATE": lambda _: (_BARE + _READY, True),
}


@pytest.mark.parametrize("how", _REPLIES)
def test_a_reply_that_does_not_arrive_whole_is_an_outage(
    proxy: Mangling, behind: Database, how: str
) -> None:
    (before,) = behind.one("select pg_backend_pid()") or ()
    proxy.mangle = _REPLIES[how]
    with pytest.raises(DatabaseUnavailable):
        behind.one("select 1")
    proxy.mangle = None
    assert behind.one("select pg_backend_pid()") != (before,)


@pytest.mark.parametrize("how", _REPLIES)
def test_so_it_is_in_a_transaction(proxy: Mangling, behind: Database, how: str) -> None:
    def lose_a_reply() -> None:
        with behind.transaction() as transaction:
            transaction.one("select 1")
            proxy.mangle = _REPLIES[how]
            transaction.one("select 2")

    with pytest.raises(DatabaseUnavailable):
        lose_a_reply()
    proxy.mangle = None
    assert behind.one("select 1") == (1,)


@pytest.mark.parametrize("how", _REPLIES)
def test_and_at_the_commit(proxy: Mangling, behind: Database, how: str) -> None:
    def lose_the_commit() -> None:
        with behind.transaction(UNBOUNDED) as transaction:
            transaction.one("select 1")
            proxy.mangle = _REPLIES[how]

    with pytest.raises(DatabaseUnavailable):
        lose_the_commit()
    proxy.mangle = None
    assert behind.one("select 1") == (1,)


@pytest.mark.parametrize("how", ["the reply is lost", "half arrives", "the reply is garbage"])
def test_and_while_a_connection_is_made(proxy: Mangling, behind: Database, how: str) -> None:
    proxy.mangle = _REPLIES[how]
    for _ in range(3):  # more often than the pool has places
        with pytest.raises(DatabaseUnavailable):
            behind.one("select 1")
    proxy.mangle = None
    assert behind.one("select 1") == (1,)


def test_and_while_a_new_connection_is_greeted(proxy: Mangling, database_url: str) -> None:
    def greet(connection: Any) -> None:
        proxy.mangle = _REPLIES["an error without a SQLSTATE"]
        connection.cursor().execute("select 1")

    database = Database(_through(proxy, database_url), size=1, on_connect=greet)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            database.one("select 1")
        proxy.mangle = None
    database.close()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_connection_that_was_cut_while_idle(
    proxy: Mangling, behind: Database, reset: bool
) -> None:
    behind.one("select 1")
    proxy.cut(reset=reset)
    with pytest.raises(DatabaseUnavailable):
        behind.one("select 1")
    assert behind.one("select 1") == (1,)


def test_a_block_that_fails_tells_its_own_reason(proxy: Mangling, behind: Database) -> None:
    """Also where the rollback fails after it."""

    def fail() -> None:
        with behind.transaction() as transaction:
            transaction.one("select 1")
            proxy.mangle = _REPLIES["an error without a SQLSTATE"]
            raise NotFound

    with pytest.raises(NotFound):
        fail()
    proxy.mangle = None
    assert behind.one("select 1") == (1,)


def test_a_connection_in_a_transaction_is_lent_to_nobody(database: Database) -> None:
    """As after a text of several statements whose `commit` was never reached."""
    with pytest.raises(psycopg2.Error):
        database.all("begin; select 1 / 0; commit")
    assert database.one("select 1") == (1,)


def test_the_api_answers_503(proxy: Mangling, database_url: str) -> None:
    api = Api.on(_through(proxy, database_url), "redis://127.0.0.1:1/0", authenticate=False)
    for how in _REPLIES.values():
        assert api.client.get("/v1/workflows").status_code == 200
        proxy.mangle = how
        assert api.client.get("/v1/workflows").status_code == 503
        proxy.mangle = None
    assert api.client.get("/v1/workflows").status_code == 200
    api.database.close()


def test_migrations_say_so_too(proxy: Mangling, database_url: str) -> None:
    url = _through(proxy, database_url).replace("postgresql:", "postgresql+psycopg2:")
    engine = create_engine(url)

    def migrate() -> None:
        with reaching_postgres(), engine.connect() as connection:
            proxy.mangle = _REPLIES["an error without a SQLSTATE"]
            connection.execute(text("select 1"))

    with pytest.raises(DatabaseUnavailable):
        migrate()
    engine.dispose()
