"""The servers that tests run on: real ones, started once a session, a fresh database a test.

``ORCHESTRATOR_TEST_DATABASE_URL`` and ``ORCHESTRATOR_TEST_BROKER_URL`` point at running
servers instead: the first at a database whose user may create others.
"""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import celery._state
import psycopg2
import pytest
import redis
from kombu import pools

from orchestrator.embedded import Postgres, Valkey
from tests.support.examples import SHARE
from tests.support.memory_folder import memory_folder
from tests.support.rabbitmq import RabbitMQ, why_absent

DATABASE = "ORCHESTRATOR_TEST_DATABASE_URL"
BROKER = "ORCHESTRATOR_TEST_BROKER_URL"

_numbers = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """Without the slow tests, properties are tried with fewer examples."""
    if "not slow" in (config.getoption("markexpr") or ""):
        os.environ.setdefault(SHARE, "0.2")


@contextmanager
def _same_app_afterwards() -> Iterator[None]:
    """Celery's default and current app are the process's: no test leaves its own to the next."""
    state: Any = celery._state
    default, current = state.default_app, state._tls.current_app
    yield
    state.default_app, state._tls.current_app = default, current


@pytest.fixture(scope="module", autouse=True)
def _apps_of_a_module() -> Iterator[None]:
    with _same_app_afterwards():
        yield


@pytest.fixture(autouse=True)
def _apps_of_a_test() -> Iterator[None]:
    with _same_app_afterwards():
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The session's Postgres server, to be killed, paused and restarted at will."""
    if DATABASE in os.environ:
        pytest.skip(f"needs a Postgres server of its own, and {DATABASE} names another")
    settings = {"max_prepared_transactions": "4"}
    with (
        memory_folder("postgres", tmp_path_factory.mktemp("postgres")) as folder,
        Postgres(folder, fsync=False, settings=settings) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """The session's Valkey server, to be killed, paused and restarted at will."""
    if BROKER in os.environ:
        pytest.skip(f"needs a Valkey server of its own, and {BROKER} names another")
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """The session's RabbitMQ server, to be killed, paused and restarted at will."""
    reason = why_absent()
    if reason is not None:
        pytest.skip(reason)
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """A database on the session's server that is nobody's, to reach the server by."""
    return os.environ.get(DATABASE) or request.getfixturevalue("postgres").url


@pytest.fixture(scope="session")
def template(postgres_url: str) -> Iterator[str]:
    """The name of a migrated database that each test's is copied from."""
    from orchestrator.database.schema import upgrade

    name = f"template_{os.getpid()}"
    _execute(postgres_url, f"create database {name}")
    upgrade.upgrade(_database(postgres_url, name))
    yield name
    _execute(postgres_url, f"drop database if exists {name} with (force)")


@contextmanager
def _fresh(request: pytest.FixtureRequest, postgres_url: str, template: str) -> Iterator[str]:
    _ensure_running(request, DATABASE, "postgres")
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _execute(postgres_url, f"create database {name} template {template} strategy file_copy")
    yield _database(postgres_url, name)
    _ensure_running(request, DATABASE, "postgres")
    _execute(postgres_url, f"drop database {name} with (force)")


@pytest.fixture
def database_url(request: pytest.FixtureRequest, postgres_url: str, template: str) -> Iterator[str]:
    """A fresh, migrated database of the test's own."""
    with _fresh(request, postgres_url, template) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(
    request: pytest.FixtureRequest, postgres_url: str, template: str
) -> Iterator[str]:
    """A fresh, migrated database that the tests of a module share."""
    with _fresh(request, postgres_url, template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """A database that was never migrated."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _execute(postgres_url, f"create database {name}")
    yield _database(postgres_url, name)
    _execute(postgres_url, f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def module_broker_url(request: pytest.FixtureRequest) -> str:
    """A broker, empty when the module's first test begins."""
    return _emptied_broker(request)


@pytest.fixture
def rabbitmq_url(rabbitmq: RabbitMQ) -> str:
    """An empty virtual host of RabbitMQ's."""
    return fresh_rabbitmq(rabbitmq)


@pytest.fixture(scope="module")
def module_rabbitmq_url(rabbitmq: RabbitMQ) -> str:
    """A virtual host of RabbitMQ's, empty when the module's first test begins."""
    return fresh_rabbitmq(rabbitmq)


def fresh_rabbitmq(rabbitmq: RabbitMQ) -> str:
    """An empty virtual host; a test before may have killed or paused the server."""
    rabbitmq.start()
    rabbitmq.resume()
    return rabbitmq.fresh()


@pytest.fixture
def broker_url(request: pytest.FixtureRequest) -> str:
    """An empty broker."""
    return _emptied_broker(request)


def _emptied_broker(request: pytest.FixtureRequest) -> str:
    _ensure_running(request, BROKER, "valkey")
    url: str = os.environ.get(BROKER) or request.getfixturevalue("valkey").url
    # A restart of the server may have cut the connections that earlier tests have left.
    for pool in list(pools.connections.values()):
        # Before kombu 5.7 the pool itself stays open anyway.
        stays = inspect.signature(pool.force_close_all).parameters.get("close_pool")
        pool.force_close_all(**({"close_pool": False} if stays else {}))
        pool.setup()  # the closed ones leave no places for new ones
    if url.startswith("redis"):
        with redis.Redis.from_url(url) as client:
            client.flushall()
    return url


def _ensure_running(request: pytest.FixtureRequest, override: str, server: str) -> None:
    """A test before this one may have killed or paused the server."""
    if override not in os.environ:
        request.getfixturevalue(server).start()
        request.getfixturevalue(server).resume()


def _execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        connection.cursor().execute(statement)
    finally:
        connection.close()


def _database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
