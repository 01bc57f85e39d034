"""A secret through the whole product: used by steps, and to be found nowhere afterwards."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from orchestrator.database.connection.database import Database
from orchestrator.database.instances import expired_instances
from orchestrator.secrets.encryption import new_key
from tests.support.api_page import operations_of
from tests.support.events import event
from tests.support.http_stub import Answer, Request, Stub
from tests.support.secret_scan import everything, found, monitored
from tests.support.stack import Stack

SECRET = "s3cret-'value'-\\with-signs"
#: The same however it is quoted.
PART = "s3cret-"
PAGES = ("show", "history", "why")

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


def use(stack: Stack, service: Stub) -> list[dict[str, Any]]:
    """Every way in which a step may use a secret, each with a service or a task that says it
    again; the instances as they ended."""
    secret = "${ $secrets.token }"

    def call(path: str, **more: Any) -> dict[str, Any]:
        return {
            "call": "http",
            "with": {"method": "get", "endpoint": f"{service.url}{path}", **more},
        }

    bearer = {"bearer": {"token": secret}}
    basic = {"basic": {"username": "u", "password": secret}}
    tasks = {
        "leak": {"call": "steps.leak", "with": {"secret": secret}},
        "echo": {"call": "steps.echo", "with": {"secret": secret, "nested": [{"in": secret}]}},
        "bearer": call("/418", endpoint={"uri": f"{service.url}/418", "authentication": bearer}),
        "basic": call("/200", endpoint={"uri": f"{service.url}/200", "authentication": basic}),
        "header": call("/200", headers={"X-Key": secret}, output="response"),
        "query": call("/200", query={"key": secret}),
        "refused": call("/404", query={"key": secret}),
        "raw": call("/200", headers={"X-Key": secret}, output="raw"),
    }
    return [stack.run(document(name, task)) for name, task in tasks.items()]


def answers(stack: Stack, instances: list[str]) -> Iterator[tuple[str, str]]:
    """What every GET of the API says of these instances, and lists: (path, text)."""
    get, spec = stack.client.get, stack.client.get("/openapi.json").json()
    known = get("/v1/events?limit=1").json()["items"]
    for path, method, _ in operations_of(spec):
        if method != "get" or path in ("/v1/events/stream", "/v1/feed"):
            continue
        for id in instances if path.startswith("/v1/instances/{id}") else [known[0]["id"]]:
            name = get(f"/v1/instances/{id}").json().get("workflow", {}).get("name", "leak")
            places = {"id": id, "step": "1", "namespace": "test", "name": name, "version": "1.0.0"}
            asked = path.format(delivery=id, **places)
            for media in ("application/json", "text/event-stream", "application/yaml"):
                answer = get(asked, headers={"Accept": f"{media}, */*;q=0.1"})
                yield f"{asked} as {media}", answer.text
    yield "/metrics", get("/metrics").text


def feed(stack: Stack, last: str) -> str:
    """The live feed from the beginning, up to the end of an instance."""
    told = ""
    place = {"Last-Event-ID": "1.0"}
    with stack.client.stream("GET", "/v1/events/stream", headers=place) as answer:
        for line in answer.iter_lines():
            told += line + "\n"
            if last in line and ".workflow.completed." in line:
                return told
    raise AssertionError(f"the feed ended: {told[-2000:]}")


def changes(stack: Stack, ids: list[str]) -> str:
    """The feed of changes from the beginning, until it has named every one of these instances."""
    told, missing = "", set(ids)
    with stack.client.stream("GET", "/v1/feed", headers={"Last-Event-ID": "0"}) as answer:
        for line in answer.iter_lines():
            told += line + "\n"
            missing -= {id for id in missing if id in line}
            if not missing:
                return told
    raise AssertionError(f"the feed ended: {told[-2000:]}")


def test_a_secret_is_used_and_shows_nowhere(stack: Stack):
    """Neither as it is, nor as Python, JSON and URLs quote it, nor in base64: in no table, log,
    archive, answer, page of the command line, and in nothing that the broker was told or held."""
    cli(stack, "secret", "set", "token", "--namespace", "test", stdin=SECRET + "\n")
    assert "token" in cli(stack, "secret", "list")
    held: list[str] = []

    def say(request: Request) -> Answer:
        """All that it was asked with, once more; while the step runs, the broker is read."""
        held.append(everything(stack.broker_url))
        said = {"headers": dict(request.headers), "query": list(request.query), "text": SECRET}
        return Answer(int(request.path[1:]), json=said)

    with monitored(stack.broker_url) as monitor, Stub(say) as service:
        stack.client.post("/v1/events?namespace=test", json=event()).raise_for_status()
        ended = use(stack, service)
    by = {one["workflow"]["name"]: one for one in ended}
    assert {name: one["status"] for name, one in by.items()} == {
        "leak": "faulted", "echo": "completed", "bearer": "faulted", "basic": "completed",
        "header": "completed", "query": "completed", "refused": "faulted", "raw": "completed",
    }  # fmt: skip
    assert by["leak"]["error"]["title"] == "ValueError"
    assert "***" in by["leak"]["error"]["detail"]
    assert by["echo"]["output"] == {"said": "***", "nested": [{"in": "***"}]}
    sent = [request.headers for request in service.requests]
    assert sent[0]["authorization"] == f"Bearer {SECRET}"
    basic = base64.b64encode(f"u:{SECRET}".encode()).decode()
    assert sent[1]["authorization"] == f"Basic {basic}"
    assert len(service.requests) == 6

    ids = [str(one["id"]) for one in ended]
    log = "".join(path.read_text() for path in stack.folder.glob("*.log"))
    assert "called with ***" in log
    assert all(id in monitor.text for id in ids), "the broker was listened to"
    assert any(held), "the broker held something"
    database = Database(stack.database_url)
    places = {
        "database": in_database(stack),
        "logs": log,
        "what the broker was told": monitor.text,
        "what the broker held": "".join(held),
        "what the broker holds": everything(stack.broker_url),
        "the archive": "".join(expired_instances.export_lines(database, id) for id in ids),
        "the feed": feed(stack, ids[-1]),
        **dict(answers(stack, ids)),
        **{f"{page} {id}": cli(stack, page, id) for page in PAGES for id in ids},
    }
    database.close()
    assert len(places) > 100
    for place, text in places.items():
        assert found(PART, text) is None, f"{place}: {found(PART, text)}"

    cli(stack, "secret", "delete", "token", "--namespace", "test")
    gone = stack.run(
        document("gone", {"call": "steps.leak", "with": {"secret": "${ $secrets.token }"}})
    )
    assert gone["error"]["status"] == 403


@pytest.mark.parametrize("form", ["plain", "URL", "hex", "base64", "base64 of base64"])
def test_what_looks_for_a_secret_finds_it(form: str):
    """In every place of a text in base64."""
    forms: dict[str, Callable[[str], str]] = {
        "plain": str, "URL": quote_plus, "hex": lambda text: text.encode().hex(),
        "base64": lambda text: base64.b64encode(text.encode()).decode(),
        "base64 of base64": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    }  # fmt: skip
    for before in range(4):
        text = forms[form]("u" * before + SECRET + "more")
        assert found(PART, f'{{"x": "{text}"}}') is not None
