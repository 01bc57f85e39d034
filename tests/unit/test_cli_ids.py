"""Ids on the command line: none of them leads to another resource or to a traceback, and short
ones name what they can only mean."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import click
import pytest
from click.testing import CliRunner, Result

from orchestrator.cli import main
from orchestrator.client import ApiError, Client, Unreachable
from orchestrator.client.url_paths import path, workflow_path

#: What is no id: each would name another resource, or none, where it is put into a path as it is.
HOSTILE = ("", "..", "../workflows", "a/b", "?x=1#y", "%2F..%2Fworkflows", "a\\b", "\udcff",
           "x\ny", "-", "a" * 1200)  # fmt: skip
#: They serve, start servers, or take no ids.
APART = {"dev", "demo", "api", "worker", "beat", "init", "db", "doctor", "validate", "secret"}
ID = "01900000-0000-7000-8000-000000000001"
CONTEXT = ssl.create_default_context()
OTHER = "01900000-0000-7000-8000-0000000000ff"


@pytest.fixture(autouse=True)
def one_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the machine's certificates anew for each client takes longer than all else."""
    monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: CONTEXT)


@contextmanager
def api(answer: Callable[[str, dict[str, list[str]]], Any]) -> Iterator[tuple[str, list[str]]]:
    """An API that answers each path and query so; its address, and the paths as they came."""
    asked: list[str] = []

    class Requests(BaseHTTPRequestHandler):
        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append(self.path)
            parts = urlsplit(self.path)
            body = answer(parts.path, parse_qs(parts.query))
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = reply  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}", asked
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def commands(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group) and name not in APART:
            yield from commands(command, *before, name)
        elif command is not None and name not in APART:
            yield (*before, name), command


COMMANDS = dict(commands(main))


def arguments(command: click.Command, text: str) -> list[str]:
    """The text for each argument, and for each option that takes an id."""
    options, given = [], []
    for each in command.params:
        if isinstance(each, click.Argument):
            given.append(text)
        elif each.required or set(each.opts) & {"--to", "--instance", "--from"}:
            options += [each.opts[0], "{}" if each.type.name.startswith("JSON") else text]
    return [*options, "--", *given]


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words, input="")


@pytest.mark.parametrize("words", sorted(COMMANDS), ids=" ".join)
def test_no_id_leads_elsewhere_or_ends_in_a_traceback(words: tuple[str, ...]):
    with api(lambda *_: {"items": [], "next": None}) as (url, asked):
        for text in HOSTILE:
            asked.clear()
            result = run("--url", url, *words, *arguments(COMMANDS[words], text))
            assert isinstance(result.exception, SystemExit | None), (text, result.exception)
            assert result.exit_code in range(9), text
            assert "Traceback" not in result.output
            for each in asked:
                _is_one_of_ours(each)


def _is_one_of_ours(asked: str) -> None:
    """Nothing that the path holds is taken for a part of its structure."""
    at, _, query = asked.partition("?")
    parts = at.split("/")
    assert parts[1] in ("v1", "openapi.json"), asked
    for part in parts[2:]:
        assert part not in ("", ".", ".."), asked
        assert not set("/\\") & set(unquote(part)), asked
    assert "#" not in query


@pytest.mark.parametrize("words", sorted(COMMANDS), ids=" ".join)
@pytest.mark.parametrize("body", [b"<html>", b"\xff", [], 7, {"items": [{}]}], ids=repr)
def test_what_answers_otherwise_than_the_api_is_no_traceback(words: tuple[str, ...], body: Any):
    with api(lambda *_: body) as (url, _):
        result = run("--url", url, *words, *arguments(COMMANDS[words], ID))
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code in (0, 2, 3, 5), result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("so it is"), OSError("so it is"), RecursionError("so it is")]
)
def test_a_bug_is_named_with_its_places_and_is_no_fault_of_an_instance(
    monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(Client, "instances", broken)
    result = run("list")
    assert result.exit_code == 5
    assert f"{type(error).__name__}: so it is" in result.stderr
    assert "test_cli_ids.py" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a\\b", "\udcff", "\0"])
def test_what_can_be_no_id_is_nowhere(text: str):
    with pytest.raises(ApiError) as refused:
        path("instances", text)
    assert refused.value.status == 404
    with pytest.raises(ApiError), Client("http://127.0.0.1:9") as client:
        client.get(text)


def test_a_part_of_a_path_is_escaped():
    assert path("instances", "a b?é#%", "steps", 7) == "/v1/instances/a%20b%3F%C3%A9%23%25/steps/7"
    assert workflow_path("shop/order", "1.0.0") == "/v1/workflows/shop/order/versions/1.0.0"
    assert workflow_path("order") == "/v1/workflows/default/order"
    for wrong in ("shop/order/versions", "/order", "shop/", ""):
        with pytest.raises(ApiError):
            workflow_path(wrong)


def test_what_is_not_the_api_is_unreachable():
    with api(lambda *_: b"<html>") as (url, _), Client(url) as client:
        with pytest.raises(Unreachable, match="is not the orchestrator's API"):
            client.get(ID)
        with pytest.raises(Unreachable):
            client.start("shop/order")


def instance(id: str, business_id: str | None = None) -> dict[str, Any]:
    workflow = {"namespace": "shop", "name": "order", "version": "1.0.0"}
    return {"id": id, "workflow": workflow, "status": "running", "business_id": business_id}


def two(at: str, query: dict[str, list[str]]) -> Any:
    """An API with two instances: the first has a business_id, and the second an attempt."""
    both = (instance(ID, "order-7"), instance(OTHER, "0190"))
    if at != "/v1/instances":
        found = next((each for each in both if at.startswith(f"/v1/instances/{each['id']}")), None)
        return {"items": [], "next": None, **found} if found else None
    chosen = [
        each
        for each in both
        if each["business_id"] == query.get("business_id", [each["business_id"]])[0]
        and each["id"].startswith(query.get("id", [""])[0].lower())
        and ("attempt" not in query or (each["id"], query["attempt"]) == (OTHER, [ATTEMPT]))
    ]
    return {"items": chosen, "next": None}


ATTEMPT = "01900000-0000-7000-8000-00000000aaaa"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ID, ID),
        (ID.upper(), ID),
        (ID[:-1], ID),
        (OTHER[:-1], OTHER),
        ("order-7", ID),
        (ATTEMPT, OTHER),
    ],
)
def test_an_instance_is_found(text: str, found: str):
    with api(two) as (url, asked):
        result = run("--url", url, "history", text)
        assert result.exit_code == 0, result.output
        assert f"/v1/instances/{found}/history" in asked


@pytest.mark.parametrize("command", ["show", "cancel", "why", "watch", "retry", "graph"])
def test_an_ambiguous_id_lists_what_it_may_mean(command: str):
    # Of one it is the business_id, of both the beginning of the id.
    with api(two) as (url, asked):
        result = run("--url", url, command, "0190")
    assert result.exit_code == 2
    assert ID in result.stderr
    assert OTHER in result.stderr
    assert "order-7" in result.stderr
    assert not [each for each in asked if "/v1/instances/" in each]


def test_an_id_that_nothing_has_is_not_found():
    with api(two) as (url, _):
        for text in ("nope", "02", "02900000-0000-7000-8000-000000000001"):
            result = run("--url", url, "show", text)
            assert result.exit_code == 3
            assert f"there is no instance '{text}'" in result.stderr
        assert run("--url", url, "show", "").exit_code == 2


def test_other_ids_may_be_short_too():
    def letters(at: str, _: Any) -> Any:
        return {"items": [{"id": ID}, {"id": OTHER}], "next": None} if at.count("/") == 2 else {}

    with api(letters) as (url, asked):
        assert run("--url", url, "dead-letter", "retry", OTHER[:-1]).exit_code == 0
        assert asked[-1] == f"/v1/dead-letters/{OTHER}/retry"
        ambiguous = run("--url", url, "subscription", "delete", ID[:6])
        assert ambiguous.exit_code == 2
        assert ID in ambiguous.stderr
        assert run("--url", url, "key", "revoke", "02").exit_code == 3


def test_a_list_is_filtered_by_time_and_business_id():
    asked: list[dict[str, list[str]]] = []

    def remember(_: str, query: dict[str, list[str]]) -> Any:
        asked.append(query)
        return {"items": [], "next": None}

    words = ("--since", "2030-01-01", "--until", "2030-01-02T00:00:00+01:00")
    with api(remember) as (url, _):
        assert run("--url", url, "list", *words, "--business-id", "o 7").exit_code == 0
    assert asked == [
        {
            "started_after": ["2030-01-01T00:00:00Z"],
            "started_before": ["2030-01-01T23:00:00Z"],
            "business_id": ["o 7"],
        },
        # It says which ones it leaves out: those that have not started.
        {"business_id": ["o 7"], "status": ["pending"]},
    ]


def test_so_many_rows_of_the_ledger_are_printed():
    def ledger(at: str, _: Any) -> Any:
        return {"items": [{"id": ID, "kind": "cron"}] * (1 if at.count("/") == 2 else 9),
                "next": None}  # fmt: skip

    with api(ledger) as (url, _):
        for option in ("-n", "--limit"):
            done = run("--url", url, "schedule", "ledger", ID, option, "3", "-o", "jsonl")
            assert len(done.stdout.splitlines()) == 3


def test_an_interrupted_command_says_nothing_of_the_instance(monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "instances", interrupted)
    result = run("watch", ID)
    assert result.exit_code == 130
    assert "instances that were started continue" in result.stderr
