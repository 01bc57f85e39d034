"""Why an event found nobody: a test for every cause."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from orchestrator.database.workers import worker_queries
from orchestrator.database.workers.worker_queries import WorkerRow
from orchestrator.ids import new_id
from tests.support.api import Api, document

_numbers = count()


@pytest.fixture(scope="module")
def _application(module_database_url: str, module_broker_url: str) -> Iterator[Api]:
    made = Api.on(module_database_url, module_broker_url)
    yield made
    made.close()


def services(api: Api) -> Any:
    return api.client.application.extensions["orchestrator"].services


def listening(api: Api, name: str = "hear", **wanted: Any) -> str:
    """An instance that waits for an event."""
    listen = {"listen": {"to": {"one": {"with": {"type": "shop.paid", **wanted}}}}}
    api.deploy(document(name, do=[{"paid": listen}]))
    id = api.start(name)
    services(api).state.process_inbox(id)
    return id


def send(api: Api, type: str = "shop.paid", to: str | None = None, **more: Any) -> str:
    """Send an event; its id."""
    event = {"specversion": "1.0", "id": str(next(_numbers)), "source": "/till", "type": type}
    path = f"/v1/instances/{to}/events" if to else "/v1/events?namespace=shop"
    headers = {"Content-Type": "application/cloudevents+json"}
    answer = api.post(path, json={**event, **more}, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json["id"])


def match(api: Api) -> None:
    services(api).events.match("shop")


def why(api: Api, event: str) -> dict[str, Any]:
    """The only cause."""
    found = api.get(f"/v1/events/{event}/why").json
    assert (found["id"], len(found["causes"])) == (event, 1), found
    cause: dict[str, Any] = found["causes"][0]
    return cause


def test_nobody_has_matched_it(api: Api):
    listening(api)
    event = send(api)
    told = why(api, event)
    assert (told["kind"], told["queue"]) == ("no-control", "orchestrator")
    assert told["message"] == "it waits to be matched; no worker is alive"
    row = WorkerRow(new_id(), "w", 7, "prefork", 1, ("orchestrator",), ())
    worker_queries.register(api.database, row)
    assert why(api, event)["kind"] == "matching"


def test_somebody_took_it(api: Api):
    id = listening(api)
    event = send(api)
    match(api)
    told = why(api, event)
    assert (told["kind"], told["instance"]) == ("consumed", id)


def test_nobody_waits_for_its_type(api: Api):
    event = send(api, "shop.lost")
    match(api)
    assert why(api, event) == {
        "kind": "no-listener",
        "message": "no listener in the namespace shop waits for 'shop.lost'",
    }
    listening(api)
    event = send(api, "shop.payed")
    match(api)
    assert why(api, event)["meant"] == "shop.paid"
    assert why(api, event)["message"].endswith("'shop.payed', did you mean 'shop.paid'?")


def test_an_attribute_is_another(api: Api):
    id = listening(api, source="/shop", subject="o-1")
    event = send(api)
    match(api)
    told = why(api, event)
    assert (told["kind"], told["instance"]) == ("not-matched", id)
    assert told["message"].endswith("asks for the source '/shop', and the event's is '/till'")
    event = send(api, source="/shop")
    match(api)
    assert why(api, event)["message"].endswith("the subject 'o-1', and the event's is missing")


def test_its_data_is_not_what_was_asked_for(api: Api):
    listening(api, data="${ .amount > 10 }")
    event = send(api, data={"amount": 3})
    match(api)
    told = why(api, event)["message"]
    assert told.endswith("its condition, or its correlation with earlier events, does not hold")


def test_it_came_too_early(api: Api):
    event = send(api)
    match(api)
    api.all("update orchestrator.events set created_at = created_at - interval '1 h'")
    listening(api)
    assert "was started after it" in why(api, event)["message"]
    api.all("update orchestrator.instances set created_at = created_at - interval '2 h'")
    assert "began to wait after it" in why(api, event)["message"]


def test_it_lies_in_a_mailbox(api: Api):
    id = listening(api)
    event = send(api, "shop.other", to=id)
    match(api)
    told = why(api, event)["message"]
    assert told == f"it lies in the mailbox: the instance {id} does not wait for 'shop.other'"


def test_of_no_event_there_is_no_cause(api: Api):
    assert api.get(f"/v1/events/{new_id()}/why").status_code == 404


@pytest.mark.parametrize("heard", [True, False])
def test_the_command_line_shows_an_event_by_our_id(api: Api, served: str, heard: bool) -> None:
    id = listening(api) if heard else None
    sent = send(api)
    match(api)
    shown = CliRunner().invoke(main, ["--url", served, "event", "show", sent]).output
    head, row, *rest = shown.splitlines()
    assert head.split()[:2] == ["ID", "NAMESPACE"]
    assert "COMPARED AT" in head  # that it was compared says nothing about what it matched
    assert "MATCHED" not in head
    assert row.startswith(sent)
    if heard:
        assert rest[-2].startswith("INSTANCE")
        assert rest[-1].startswith(str(id))
    else:
        assert rest[-1] == f"nothing took it: orchestrator why {sent}"
