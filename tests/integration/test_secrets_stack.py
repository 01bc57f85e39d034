"""A secret through the whole product: used by steps, and to be found nowhere afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from orchestrator.vault import new_key
from tests.support.stack import Stack
from tests.support.stub import Answer, Stub

SECRET = "s3cret-'value'-\\with-signs"

pytestmark = pytest.mark.slow


@pytest.fixture
def stack(tmp_path: Path, database_url: str, broker_url: str) -> Iterator[Stack]:
    settings = {"secrets_key": new_key(), "outbound_allow": "127.0.0.0/8"}
    with Stack(tmp_path, database_url, broker_url, **settings) as running:
        running.api()
        running.worker(arguments=("-E",))
        yield running


def cli(stack: Stack, *arguments: str, stdin: str = "") -> str:
    url = str(stack.client.base_url)
    done = CliRunner().invoke(main, ["--url", url, *arguments], input=stdin)
    assert done.exit_code == 0, done.output
    return done.output


def document(name: str, task: dict[str, Any]) -> dict[str, Any]:
    head = {"dsl": "1.0.3", "namespace": "test", "name": name, "version": "1.0.0"}
    return {"document": head, "use": {"secrets": ["token"]}, "do": [{"it": task}]}


def in_database(stack: Stack) -> str:
    tables = stack.sql(
        "select relname from pg_class c join pg_namespace n on n.oid = relnamespace"
        " where nspname = 'orchestrator' and relkind = 'r'"
    )
    return str([stack.sql(f"select t::text from orchestrator.{table} t") for (table,) in tables])


def test_a_secret_is_used_and_shows_nowhere(stack: Stack):
    cli(stack, "secret", "set", "token", "--namespace", "test", stdin=SECRET + "\n")
    assert "token" in cli(stack, "secret", "list")

    leak = {"call": "steps.leak", "with": {"secret": "${ $secrets.token }"}}
    leaked = stack.run(document("leak", leak))
    assert (leaked["status"], leaked["error"]["title"]) == ("faulted", "ValueError")
    assert "***" in leaked["error"]["detail"]

    echo = Answer(418, body=f"no {SECRET}".encode())
    with Stub(lambda _: echo) as service:
        call: dict[str, Any] = {"method": "get"}
        call["endpoint"] = {
            "uri": f"{service.url}/x",
            "authentication": {"bearer": {"token": "${ $secrets.token }"}},
        }
        refused = stack.run(document("http", {"call": "http", "with": call}))
        assert refused["status"] == "faulted"
        assert service.requests[0].headers["authorization"] == f"Bearer {SECRET}"

    log = "".join(path.read_text() for path in stack.folder.glob("*.log"))
    assert "called with ***" in log
    # As it is, and as Python and JSON quote it.
    part = "s3cret-"
    for place, text in {"database": in_database(stack), "logs": log}.items():
        at = text.find(part)
        assert at < 0, f"{place}: {text[max(0, at - 300) : at + 100]}"

    cli(stack, "secret", "delete", "token", "--namespace", "test")
    gone = stack.run(document("gone", leak))
    assert gone["error"]["status"] == 403
