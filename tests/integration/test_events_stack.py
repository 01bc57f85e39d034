"""Events through the whole product: an API, workers, a beat, on real servers."""

from __future__ import annotations

import functools
import json
import os
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from orchestrator.client import Client
from tests.support.events import BATCH, STRUCTURED, event
from tests.support.http_stub import Answer, Stub
from tests.support.stack import Stack

standardwebhooks = pytest.importorskip(
    "standardwebhooks", reason="the public library that verifies signatures is not installed"
)

#: How many instances race with their events in `slow`; ORCHESTRATOR_TEST_RACES=10000 for more.
RACES = int(os.environ.get("ORCHESTRATOR_TEST_RACES", "2000"))


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    database_url = request.getfixturevalue("module_database_url")
    broker_url = request.getfixturevalue("module_broker_url")
    folder = tmp_path_factory.mktemp("events")
    allowed = "127.0.0.0/8,::1/128"
    with Stack(folder, database_url, broker_url, outbound_allow=allowed) as running:
        running.api()
        running.worker(concurrency=2)
        running.beat()
        yield running


def send(stack: Stack, *given: dict[str, Any], to: str | None = None, namespace: str = "test"):
    """Post events: to a namespace, or into an instance's mailbox."""
    path = f"/v1/instances/{to}/events" if to else f"/v1/events?namespace={namespace}"
    body, kind = (given[0], STRUCTURED) if len(given) == 1 else (given, BATCH)
    answer = stack.client.post(path, content=json.dumps(body), headers={"Content-Type": kind})
    assert answer.status_code == 202, answer.text
    return answer.json()


def document(name: str, *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    head = {"dsl": "1.0.3", "namespace": "test", "name": name, "version": "1.0.0"}
    return {"document": head, "do": list(tasks), **more}


def waits(stack: Stack, id: str) -> None:
    """Wait until an instance listens."""
    query = "select 1 from orchestrator.listeners where instance_id = %s and lookbacks_done > 0"
    stack.until(lambda: bool(stack.sql(query, id)), "it listens")


def correlated(type: str) -> dict[str, Any]:
    correlate = {"k": {"from": ".data.k", "expect": "${ $workflow.input.k }"}}
    return {"listen": {"to": {"one": {"with": {"type": type}, "correlate": correlate}}}}


def race(stack: Stack, count: int) -> None:
    """Instances that listen twice. The first events come right after the starts were accepted:
    before, while and after each instance begins to listen."""
    name = f"race-{count}"
    start = stack.deploy(document(name, {"a": correlated("a")}, {"b": correlated("b")}))
    keys = range(count)
    # An event is never for an instance that was started after it.
    pace = threading.Barrier(2)

    def starts() -> None:
        for at in range(0, count, 100):
            bodies = [{**start, "input": {"k": k}} for k in keys[at : at + 100]]
            assert stack.client.post("/v1/instances", json=bodies).status_code == 202
            pace.wait(60)

    def sends(type: str, *, paced: bool) -> None:
        for at in range(0, count, 100):
            if paced:
                pace.wait(60)
            send(stack, *(event(f"{name} {type} {k}", type, data={"k": k, "t": type})
                          for k in keys[at : at + 100]))  # fmt: skip

    early = functools.partial(sends, "a", paced=True)
    threads = [threading.Thread(target=act) for act in (starts, early)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    of = "select count(*) from orchestrator.instances where workflow = %s and status"
    second = (
        "select count(*) from orchestrator.listeners l join orchestrator.instances i"
        " on i.id = l.instance_id where i.workflow = %s and l.filters::text like %s"
    )
    stack.until(lambda: stack.sql(second, name, '%"b"%')[0][0] == count, "all wait", 1500)
    sends("b", paced=False)
    stack.until(lambda: stack.sql(of + " = 'completed'", name)[0][0] == count, "all ended", 1500)
    odd = stack.sql(
        "select i.id from orchestrator.instances i where i.workflow = %s and"
        " (select count(*) from orchestrator.history h where h.instance_id = i.id"
        "  and h.stimulus ->> 'kind' = 'event') <> 2",
        name,
    )
    assert odd == []
    matches = (
        "select count(*), count(distinct (event, instance_id)) from orchestrator.event_offers m"
        " join orchestrator.instances i on i.id = m.instance_id where i.workflow = %s"
    )
    assert stack.sql(matches, name) == [(2 * count, 2 * count)]


def test_events_and_listeners_race(stack: Stack):
    race(stack, 100)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_events_and_listeners_race_under_load(stack: Stack):
    race(stack, RACES)


def test_signals_to_one_instance_keep_their_order(stack: Stack):
    loop = {
        "loop": {
            "for": {"each": "n", "in": "${ [range(30)] }"},
            "do": [{"l": {
                "listen": {"to": {"one": {"with": {"type": "signal"}}}},
                "export": {"as": "($context // []) + ."},
            }}],
        }
    }  # fmt: skip
    start = stack.deploy(document("signals", loop, {"end": {"set": "${ $context }"}}))
    id = stack.start(start)
    for n in range(30):
        send(stack, event(f"signal {n}", "signal", data=n), to=id)
    assert stack.wait(id)["output"] == list(range(30))


def test_a_hint_that_is_lost_is_made_up_for(stack: Stack):
    """The event and the listener are put in by hand: nobody hears of them but the beat."""
    listen = {"l": {"listen": {"to": {"one": {"with": {"type": "silent"}}}}}}
    id = stack.start(stack.deploy(document("silent", listen)))
    waits(stack, id)
    stack.sql(
        "insert into orchestrator.events (id, namespace, event_id, source, type, event) values"
        " (gen_random_uuid(), 'test', 'silent', '/s', 'silent',"
        '  \'{"type": "silent", "data": 1}\')'
    )
    assert stack.wait(id)["output"] == [1]


def test_a_listen_that_times_out(stack: Stack):
    listen = {
        "l": {
            "listen": {"to": {"one": {"with": {"type": "never"}}}},
            "timeout": {"after": {"milliseconds": 300}},
        }
    }
    found = stack.run(document("timed", listen))
    assert found["status"] == "faulted"
    assert found["error"]["type"].endswith("/timeout")
    assert stack.sql("select count(*) from orchestrator.listeners where instance_id = %s",
                     found["id"]) == [(0,)]  # fmt: skip


# -- the command line and the client ---------------------------------------------------------


def told(stack: Stack, *arguments: str, status: int = 0) -> str:
    """What the command line says."""
    found = CliRunner().invoke(main, ["--url", str(stack.client.base_url), *arguments])
    assert found.exit_code == status, found.output
    return found.stdout.strip()


def test_events_from_the_command_line(stack: Stack):
    listen = {"l": {"listen": {"to": {"one": {"with": {"type": "cli", "mine": "x"}}}}}}
    start = stack.deploy(document("cli", listen))
    one, other = stack.start(start), stack.start(start)
    for id in (one, other):
        waits(stack, id)
    event = ("event", "send", "cli", "-d", '{"n": 1}', "--attribute", "mine=x")
    sent = told(stack, *event, "--to", one, "--id", "cli-1")
    assert stack.wait(one)["output"] == [{"n": 1}]
    told(stack, *event, "--namespace", "test", "--id", "cli-2")
    assert stack.wait(other)["output"] == [{"n": 1}]
    shown = json.loads(told(stack, "event", "show", sent, "-o", "json"))
    assert (shown["target"], [match["instance"] for match in shown["matches"]]) == (one, [one])
    listed = json.loads(told(stack, "event", "list", "--type", "cli", "-o", "json"))
    assert [found["event"]["id"] for found in listed] == ["cli-2", "cli-1"]
    assert "/orchestrator/cli" in told(stack, "event", "list", "--type", "cli")
    told(stack, *event, "--to", one, status=2)


def test_the_feed_from_the_client(stack: Stack):
    with Client(str(stack.client.base_url)) as client:
        feed = client.events(type="watched*")
        found: list[dict[str, Any]] = []
        reader = threading.Thread(target=lambda: found.extend(islice(feed, 2)), daemon=True)
        reader.start()
        numbers = iter(range(1000))
        while reader.is_alive():  # the stream begins when it begins
            client.send_event({"type": "watched.x", "source": "/s"}, namespace="test")
            reader.join(0.2)
            assert next(numbers) < 100
        assert [one["type"] for one in found] == ["watched.x"] * 2


def test_subscriptions_from_the_command_line(stack: Stack):
    """The beat of the stack sends what is due; local receivers are refused unless allowed."""
    stack.deploy(document("told", {"s": {"set": {"n": "${ .n }"}}}))
    made = json.loads(
        told(stack, *("subscription", "create", "--type", "start-it", "--workflow", "told",
                      "--read", "data", "--namespace", "test", "-o", "json"))
    )  # fmt: skip
    assert made["secret"] is None
    told(stack, "event", "send", "start-it", "-d", '{"n": 7}', "--namespace", "test")
    path = f"/v1/subscriptions/{made['id']}/deliveries"
    stack.until(lambda: bool(stack.client.get(path).json()["items"]), "it is delivered")
    (delivery,) = json.loads(told(stack, "subscription", "deliveries", made["id"], "-o", "json"))
    assert stack.wait(delivery["instance"])["output"] == {"n": 7}
    told(stack, "subscription", "pause", made["id"])
    assert json.loads(told(stack, "subscription", "show", made["id"]))["state"] == "paused"
    told(stack, "subscription", "resume", made["id"])
    assert made["id"] in told(stack, "subscription", "list")
    told(stack, "subscription", "delete", made["id"])
    told(stack, "subscription", "show", made["id"], status=3)
    told(stack, "subscription", "create", "--type", "x", status=2)


def test_the_beat_sends_webhooks(stack: Stack):
    with Stub(lambda _: Answer(200)) as receiver:
        body = {"namespace": "test", "filter": {"type": "hooked"}, "webhook": {"url": receiver.url}}
        made = stack.client.post("/v1/subscriptions", json=body).json()
        send(stack, event("hooked", "hooked", data=1))
        path = f"/v1/subscriptions/{made['id']}/deliveries?state=delivered"
        stack.until(lambda: bool(stack.client.get(path).json()["items"]), "it arrives")
        (request,) = receiver.requests
    assert request.json["data"] == 1
    standardwebhooks.Webhook(made["secret"]).verify(request.body, dict(request.headers))
