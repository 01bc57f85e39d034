"""Fixtures of the integration tests."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from click.testing import CliRunner
from werkzeug.serving import make_server

from orchestrator.cli import main
from orchestrator.database.connection.database import Database
from tests.support.api import Api
from tests.support.manual_workers import Outside


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated database of the test's own, as the product sees it."""
    made = Database(database_url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def module_database_url(
    request: pytest.FixtureRequest, postgres_url: str, template: str
) -> Iterator[str]:
    """A migrated database of the module's own."""
    name = f"module_{os.getpid()}_{abs(hash(request.node.name)) % 10**9}"
    server = psycopg2.connect(postgres_url)
    server.autocommit = True
    server.cursor().execute(f"create database {name} template {template} strategy file_copy")
    server.close()
    yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    server = psycopg2.connect(postgres_url)
    server.autocommit = True
    server.cursor().execute(f"drop database {name} with (force)")
    server.close()


@pytest.fixture(scope="module")
def _application(module_database_url: str) -> Iterator[Api]:
    # No broker listens there: the API must not need one.
    made = Api.on(module_database_url, "redis://127.0.0.1:1/0")
    yield made
    made.close()


@pytest.fixture
def api(_application: Api) -> Iterator[Api]:
    """The API's application, authentication off, on an empty database."""
    yield _application
    _application.empty()


@pytest.fixture
def outside(api: Api) -> Outside:
    """A worker by hand, beside the API."""
    return Outside(api)


@pytest.fixture
def served(api: Api) -> Iterator[str]:
    """The same API over a socket: its address."""
    server = make_server("127.0.0.1", 0, api.client.application, threaded=True)
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def cli(served: str) -> Callable[..., Any]:
    """The command line on the same API."""

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(main, ["--url", served, *arguments])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run
