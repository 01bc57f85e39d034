"""Subscriptions: webhooks that fail, hang, redirect and reset; signatures; order; workflows."""

from __future__ import annotations

import base64
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from orchestrator.bootstrap import Services
from orchestrator.core.model import Json
from orchestrator.database.events import delivery_claims, event_queries, subscription_queries
from orchestrator.database.keyset_pages import Scope
from orchestrator.event_handler import standard_webhooks, webhook_sender
from orchestrator.event_handler.webhook_sender import WebhookSender
from orchestrator.ids import new_id
from orchestrator.outbound import OutboundClient
from orchestrator.secrets import encryption, webhook_secrets
from orchestrator.secrets.encryption import SecretCipher
from tests.support.api import Api, document, problem
from tests.support.events import event
from tests.support.http_stub import Answer, Request, Stub

standardwebhooks = pytest.importorskip(
    "standardwebhooks", reason="the public library that verifies signatures is not installed"
)
NAMESPACE = "shop"
#: More open files than select() can tell apart.
MANY = 1100
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


class Street:
    """The API, the Event Handler, and a post office that sends to local receivers."""

    def __init__(self, api: Api, database_url: str) -> None:
        self.api = api
        self.url = database_url
        self.services: Services = api.client.application.extensions["orchestrator"].services
        outbound = OutboundClient(allow=["127.0.0.0/8", "::1/128"])
        self.office = WebhookSender(self.services.database, database_url, outbound)

    def subscribe(self, url: str, **more: Any) -> str:
        body = {
            "namespace": NAMESPACE, "filter": {"type": "t"},
            "webhook": {"url": url, "secret": SECRET}, **more,
        }  # fmt: skip
        answer = self.api.post("/v1/subscriptions", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json["id"])

    def send(self, *given: dict[str, Json], instances: tuple[str | None, ...] = ()) -> None:
        event_queries.put(self.api.database, NAMESPACE, given, instances=instances)
        self.services.events.match(NAMESPACE)

    def deliveries(self, id: str, **query: str) -> list[dict[str, Any]]:
        """Oldest event first."""
        found = self.api.get(f"/v1/subscriptions/{id}/deliveries", query_string=query).json
        return list(reversed(found["items"]))

    def shown(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/v1/subscriptions/{id}").json
        return found

    def until(self, fact: Callable[[], object], seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not fact():
            assert time.monotonic() < deadline, "not in time"
            time.sleep(0.01)  # between two looks, never instead of one

    def hurry(self, beyond: float = webhook_sender.LEASE / 2) -> None:
        """Let what waits for its next try be due; what is being sent is due much later."""
        self.api.all(
            "update orchestrator.deliveries set next_at = clock_timestamp() where state = 'pending'"
            " and next_at < clock_timestamp() + %s * interval '1 s'",
            beyond,
        )
        self.office._wakeup.wake()


@pytest.fixture
def street(api: Api, module_database_url: str) -> Iterator[Street]:
    made = Street(api, module_database_url)
    yield made
    made.office.close()


def delivered(street: Street, id: str, count: int) -> bool:
    return len(street.deliveries(id, state="delivered")) == count


def failed(street: Street, id: str, times: int) -> bool:
    return bool(street.shown(id)["failures"] == times)


def ids(stub: Stub) -> list[str]:
    return [request.json["id"] for request in stub.requests]


def verify(request: Request) -> Any:
    """The body, if the public library finds the signature good."""
    return standardwebhooks.Webhook(SECRET).verify(request.body, dict(request.headers))


def test_an_event_is_sent_signed_in_structured_mode(street: Street):
    with Stub(lambda _: Answer(204)) as receiver:
        id = street.subscribe(f"{receiver.url}/hook")
        street.office.start()
        street.send(event(data={"ü": 1}), event("2", "other"))
        street.until(lambda: street.shown(id) and street.deliveries(id, state="delivered"))
        (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", "/hook")
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert verify(request) == event(data={"ü": 1})
    (delivery,) = street.deliveries(id)
    assert request.headers["webhook-id"] == delivery["id"]
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("delivered", 1, 204)
    found = street.api.get("/v1/events?type=t").json["items"][0]
    assert delivery["event"] == found["id"]


def test_what_fails_is_sent_again_with_the_same_id(street: Street):
    answers = iter([Answer(500), Answer(302, headers={"Location": "/elsewhere"}), Answer(200)])
    with Stub(lambda _: next(answers)) as receiver:
        id = street.subscribe(receiver.url)
        street.office.start()
        street.send(event())
        for count in (1, 2):
            street.until(partial(failed, street, id, count))
            street.hurry()
        street.until(lambda: street.deliveries(id)[0]["state"] == "delivered")
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
        assert [request.path for request in receiver.requests] == ["/"] * 3
        assert all(verify(request) for request in receiver.requests)
    assert street.shown(id)["failures"] == 0
    assert street.deliveries(id)[0]["attempts"] == 3


def reset(file: Any) -> None:
    """Cut the connection in the middle of the answer."""
    file.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    file.flush()
    file.close()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(404), "HTTP 404"),
        (Answer(raw=reset), "Unreachable"),
        (Answer(307, headers={"Location": "http://169.254.169.254/"}), "redirections"),
        (Answer(200, body=b"x" * (9 << 20)), "BadResponse"),
    ],
    ids=["404", "reset", "redirect", "endless"],
)
def test_why_it_failed_is_told(street: Street, answer: Answer, expected: str):
    with Stub(lambda _: answer) as receiver:
        id = street.subscribe(receiver.url)
        street.office.start()
        street.send(event())
        street.until(lambda: street.deliveries(id)[0]["error"])
    (delivery,) = street.deliveries(id)
    assert expected in delivery["error"]
    assert delivery["state"] == "pending"
    assert delivery["next_at"] is not None


def test_a_tenant_whose_receivers_hang_holds_up_no_other(street: Street):
    """Forty of its subscriptions took all threads, and took them again with every try."""
    let_go = threading.Event()

    def hang(_: Request) -> Answer:
        let_go.wait(20)
        return Answer(200)

    def others(count: int) -> None:
        event_queries.put(street.api.database, "other", [event(f"o{n}") for n in range(count)])
        street.services.events.match("other")

    with Stub(hang) as slow, Stub(lambda _: Answer(200)) as quick:
        for _ in range(40):
            street.subscribe(slow.url)
        good = street.subscribe(quick.url, namespace="other")
        street.send(*(event(str(n)) for n in range(5)))
        street.office.start()
        street.until(lambda: len(slow.requests) >= webhook_sender.MAX_PER_NAMESPACE)
        others(5)
        street.until(lambda: len(quick.requests) == 5)
        assert len(slow.requests) < webhook_sender.MAX_CONCURRENT
        let_go.set()
        assert {d["state"] for d in street.deliveries(good)} <= {"delivered", "pending"}


def test_subscriptions_that_fail_share_a_few_threads(street: Street):
    for _ in range(12):
        street.subscribe("http://127.0.0.1:9/")
    street.send(*(event(str(n)) for n in range(3)))
    street.api.all("update orchestrator.subscriptions set failing_since = now(), failures = 1")
    claimed = delivery_claims.claim(street.services.database, 16, [], 4, 60.0, [], 3)
    assert len({one.subscription for one in claimed}) == len(claimed) == 3
    assert all(one.is_failing for one in claimed)
    assert delivery_claims.claim(street.services.database, 16, [], 4, 60.0, [], 0) == []
    assert delivery_claims.claim(street.services.database, 16, [], 4, 60.0, [NAMESPACE], 3) == []


def test_who_hangs_holds_up_nobody_else(street: Street, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webhook_sender, "REQUEST_TIMEOUT", 1.0)
    let_go = threading.Event()

    def hang(_: Request) -> Answer:
        let_go.wait(20)
        return Answer(200)

    with Stub(hang) as slow, Stub(lambda _: Answer(200)) as quick:
        hanging, good = street.subscribe(slow.url), street.subscribe(quick.url)
        street.office.start()
        street.send(*(event(str(n)) for n in range(30)))
        street.until(lambda: len(quick.requests) == 30)
        assert len(slow.requests) <= webhook_sender.MAX_PER_SUBSCRIBER
        street.until(
            lambda: any("TimedOut" in (d["error"] or "") for d in street.deliveries(hanging))
        )
        let_go.set()
    assert {d["state"] for d in street.deliveries(good)} == {"delivered"}


def test_events_of_an_instance_arrive_in_their_order(street: Street):
    """The first fails for a while: those behind it wait, those of another instance do not."""
    one, other = new_id(), new_id()
    refuse = threading.Event()
    refuse.set()

    def answer(request: Request) -> Answer:
        return Answer(503 if request.json["id"] == "0" and refuse.is_set() else 200)

    with Stub(answer) as receiver:
        id = street.subscribe(receiver.url)
        street.office.start()
        given = [event(str(n)) for n in range(10)]
        street.send(*given, instances=tuple(one if n % 2 == 0 else other for n in range(10)))
        street.until(lambda: {"1", "3", "5", "7", "9"} <= set(ids(receiver)))
        assert set(ids(receiver)) - {"0"} == {"1", "3", "5", "7", "9"}
        refuse.clear()
        street.hurry()
        street.until(lambda: {d["state"] for d in street.deliveries(id)} == {"delivered"})
        even = [n for n in ids(receiver) if int(n) % 2 == 0]
        odd = [n for n in ids(receiver) if int(n) % 2]
    assert [n for n in even if n != "0"] == ["2", "4", "6", "8"]
    assert even.index("2") > max(at for at, n in enumerate(even) if n == "0")
    assert odd == ["1", "3", "5", "7", "9"]


def test_what_is_given_up_lets_the_next_one_go(street: Street):
    instance = new_id()
    with Stub(lambda request: Answer(500 if request.json["id"] == "1" else 200)) as receiver:
        id = street.subscribe(receiver.url)
        street.send(event("1"), event("2"), instances=(instance, instance))
        street.api.all("update orchestrator.deliveries set retry_until = clock_timestamp()")
        street.office.start()
        street.until(lambda: [d["state"] for d in street.deliveries(id)] == ["failed", "delivered"])
        assert ids(receiver) == ["1", "2"]


def test_a_subscription_is_disabled_after_too_many_failures(
    street: Street, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(webhook_sender, "MAX_FAILURES", 3)
    monkeypatch.setattr(webhook_sender, "MIN_FAILING_TIME", 0.0)
    status = {"now": 500}
    with Stub(lambda _: Answer(status["now"])) as receiver:
        id = street.subscribe(receiver.url)
        street.office.start()
        street.send(event())
        for count in (1, 2):
            street.until(partial(failed, street, id, count))
            street.hurry()
        street.until(lambda: street.shown(id)["state"] == "disabled")
        assert street.shown(id)["reason"] == "HTTP 500: no success"
        street.hurry()
        street.send(event("2"))
        assert [d["state"] for d in street.deliveries(id)] == ["pending"]
        status["now"] = 200
        answer = street.api("patch", f"/v1/subscriptions/{id}", json={"state": "active"})
        assert (answer.json["state"], answer.json["failures"]) == ("active", 0)
        street.until(lambda: street.deliveries(id)[0]["state"] == "delivered")
        assert ids(receiver) == ["1"] * 4


def test_who_is_gone_is_asked_no_more(street: Street):
    with Stub(lambda _: Answer(410)) as receiver:
        id = street.subscribe(receiver.url)
        street.office.start()
        street.send(event())
        street.until(lambda: street.shown(id)["state"] == "disabled")
    assert [d["state"] for d in street.deliveries(id)] == ["failed"]


def test_a_delivery_can_be_sent_again(street: Street):
    with Stub(lambda _: Answer(200)) as receiver:
        id = street.subscribe(receiver.url)
        street.office.start()
        street.send(event())
        street.until(lambda: street.deliveries(id, state="delivered"))
        (delivery,) = street.deliveries(id)
        path = f"/v1/subscriptions/{id}/deliveries/{delivery['id']}"
        assert street.api.post(f"{path}/retry").status_code == 202
        street.until(lambda: len(receiver.requests) == 2)
        street.until(lambda: street.api.get(path).json["state"] == "delivered")
        assert {one.headers["webhook-id"] for one in receiver.requests} == {delivery["id"]}


def test_what_a_dead_sender_had_in_hand_is_sent_by_another(street: Street):
    with Stub(lambda _: Answer(200)) as receiver:
        id = street.subscribe(receiver.url)
        street.send(event())

        (stale,) = delivery_claims.claim(street.services.database, 9, [], 9, 60.0)
        assert delivery_claims.claim(street.services.database, 9, [], 9, 60.0) == []
        street.hurry(beyond=1000)
        street.office.start()
        street.until(lambda: street.deliveries(id)[0]["state"] == "delivered")
        assert len(receiver.requests) == 1
        assert not delivery_claims.record_failure(street.services.database, stale, 500, "late", 1.0)
    assert street.deliveries(id)[0]["state"] == "delivered"


def test_two_post_offices_send_each_event_once(street: Street, module_database_url: str):
    outbound = OutboundClient(allow=["127.0.0.0/8", "::1/128"])
    other = WebhookSender(street.services.database, module_database_url, outbound)
    with Stub(lambda _: Answer(200)) as receiver:
        id = street.subscribe(receiver.url)
        street.office.start()
        other.start()
        street.send(*(event(str(n)) for n in range(60)))
        street.until(lambda: len(street.deliveries(id, state="delivered", limit="100")) == 60)
        other.close()
        assert sorted(ids(receiver), key=int) == [str(n) for n in range(60)]


@pytest.mark.slow
def test_an_unforeseen_error_while_waiting_ends_no_post_office(street: Street):
    """select() refuses a file whose number is 1024 or more: its ValueError is no error of
    Postgres's. What is due is sent at a later look all the same."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MANY + 512:
        pytest.skip(f"only {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY + 512), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(MANY)]
    outbound = OutboundClient(allow=["127.0.0.0/8", "::1/128"])
    office = WebhookSender(street.services.database, street.url, outbound)
    try:
        with Stub(lambda _: Answer(200)) as receiver:
            id = street.subscribe(receiver.url)
            office.start()
            for n in range(2):
                street.send(event(str(n)))
                street.until(partial(delivered, street, id, n + 1), 60)
            office.close()
    finally:
        for file in held:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_private_addresses_are_refused_unless_allowed(street: Street, module_database_url: str):
    guarded = WebhookSender(street.services.database, module_database_url, OutboundClient())
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0.2)
        id = street.subscribe(f"http://127.0.0.1:{listening.getsockname()[1]}")
        guarded.start()
        street.send(event())
        street.until(lambda: "Refused" in (street.deliveries(id)[0]["error"] or ""))
        guarded.close()
        with pytest.raises(TimeoutError):
            listening.accept()


def test_a_filter_looks_into_the_data(street: Street):
    id = street.subscribe(
        "http://localhost:1/", filter={"type": "t.*", "data": "${ .n > 1 }", "source": "/s"}
    )
    street.send(event("1", data={"n": 1}), event("2", "t2", data={"n": 2}), event("3", "u"))
    found = street.deliveries(id)
    assert [street.api.get(f"/v1/events/{d['event']}").json["event"]["id"] for d in found] == ["2"]


def test_a_paused_subscription_is_told_nothing(street: Street):
    id = street.subscribe("http://localhost:1/")
    street.api("patch", f"/v1/subscriptions/{id}", json={"state": "paused"})
    street.send(event())
    assert street.deliveries(id) == []


@pytest.mark.parametrize(("read", "expected"), [(None, event(data=1)), ("data", 1)])
def test_a_subscription_starts_a_workflow(street: Street, read: str | None, expected: Json):
    street.api.deploy(document("order"))
    start = {"name": "order", **({"read": read} if read else {})}
    body = {"namespace": NAMESPACE, "filter": {"type": "t"}, "workflow": start}
    made = street.api.post("/v1/subscriptions", json=body)
    assert (made.status_code, made.json["secret"]) == (201, None)
    street.send(event(data=1))
    street.send(event(data=1))
    (delivery,) = street.deliveries(made.json["id"])
    assert delivery["state"] == "delivered"
    assert street.api.get(f"/v1/instances/{delivery['instance']}").json["input"] == expected
    path = f"/v1/subscriptions/{made.json['id']}/deliveries/{delivery['id']}/retry"
    assert problem(street.api.post(path)) == "conflict"


def test_a_workflow_that_is_not_there_is_a_failed_delivery(street: Street):
    body = {"namespace": NAMESPACE, "filter": {}, "workflow": {"name": "nobody"}}
    made = street.api.post("/v1/subscriptions", json=body).json
    street.send(event())
    (delivery,) = street.deliveries(made["id"])
    assert (delivery["state"], delivery["error"]) == (
        "failed", "there is no workflow shop/nobody",
    )  # fmt: skip


# -- the resource --------------------------------------------------------------------------------


def test_a_change_to_what_has_changed_since_is_refused(street: Street):
    body = {"namespace": NAMESPACE, "filter": {}, "webhook": {"url": "https://x.example/"}}
    path = street.api.post("/v1/subscriptions", json=body).headers["Location"]
    seen = {"If-Match": street.api.get(path).headers["ETag"]}
    changed = street.api.patch(path, json={"description": "a"}, headers=seen)
    assert changed.status_code == 200
    for method, options in (("patch", {"json": {"description": "b"}}), ("delete", {})):
        refused = street.api(method, path, headers=seen, **options)
        assert (refused.status_code, refused.json["title"]) == (412, "It has changed meanwhile")
    now = {"If-Match": changed.headers["ETag"]}
    assert street.api.delete(path, headers=now).status_code == 204


def test_a_secret_is_made_and_shown_once(street: Street):
    body = {"namespace": NAMESPACE, "filter": {}, "webhook": {"url": "https://x.example/"}}
    key = {"Idempotency-Key": "k"}
    made = street.api.post("/v1/subscriptions", json=body, headers=key)
    assert standard_webhooks.is_secret(made.json["secret"])
    again = street.api.post("/v1/subscriptions", json=body, headers=key)
    assert again.json == {**made.json, "secret": None}
    path = made.headers["Location"]
    assert made.json["secret"] not in street.api.get(path).text
    assert made.json["secret"] not in str(
        street.api.all("select body from orchestrator.idempotency_records")
    )
    assert [one["id"] for one in street.api.get("/v1/subscriptions").json["items"]] == [
        made.json["id"]
    ]
    changed = street.api("patch", path, json={"filter": {"type": "x"}, "description": "d"}).json
    assert (changed["filter"], changed["description"]) == ({"type": "x"}, "d")
    assert street.api.delete(path).status_code == 204
    assert problem(street.api.get(path)) == "not-found"
    actions = street.api.all("select action from orchestrator.audit_log order by id")
    assert actions == [
        ("subscription.create",), ("subscription.change",), ("subscription.delete",),
    ]  # fmt: skip


def test_a_secret_is_shown_in_its_place_only(street: Street):
    filter = {"data": {"secret": None}}
    hook = {"url": "https://x.example/"}
    made = street.api.post(
        "/v1/subscriptions", json={"namespace": NAMESPACE, "filter": filter, "webhook": hook}
    )
    assert standard_webhooks.is_secret(made.json["secret"])
    assert made.json["filter"] == filter


HOOK = {"url": "https://x.example/"}
WRONG: dict[str, dict[str, Any]] = {
    "no filter": {"webhook": HOOK},
    "nobody to tell": {"filter": {}},
    "two to tell": {"filter": {}, "webhook": HOOK, "workflow": {"name": "x"}},
    "an unknown field": {"filter": {}, "webhook": HOOK, "state": "active"},
    "a file": {"filter": {}, "webhook": {"url": "file:///etc/passwd"}},
    "a user's name": {"filter": {}, "webhook": {"url": "http://u@x.example/"}},
    "a newline": {"filter": {}, "webhook": {"url": "http://x.example/\n"}},
    "a short secret": {"filter": {}, "webhook": {**HOOK, "secret": "whsec_aGVsbG8="}},
    "no secret": {"filter": {}, "webhook": {**HOOK, "secret": "hello"}},
    "an attribute in upper case": {"filter": {"Type": "x"}, "webhook": HOOK},
    "no jq": {"filter": {"data": "${ .a | }"}, "webhook": HOOK},
    "forbidden jq": {"filter": {"data": {"x": "${ $ENV }"}}, "webhook": HOOK},
    "a variable": {"filter": {"data": "${ $input }"}, "webhook": HOOK},
}


@pytest.fixture
def untouched(_application: Api) -> Api:
    """The application, for what must not leave anything to be cleaned up."""
    return _application


@pytest.mark.parametrize("row", WRONG)
def test_what_is_no_subscription_is_refused(untouched: Api, row: str):
    before = untouched.content()
    body = {"namespace": NAMESPACE, **WRONG[row]}
    answer = untouched.post("/v1/subscriptions", json=body)
    assert (answer.status_code, problem(answer)) == (422, "invalid-request")
    assert untouched.content() == before


def stored_secret(street: Street, id: str) -> str:
    ((text,),) = street.api.all("select secret from orchestrator.subscriptions where id = %s", id)
    return str(text)


def test_a_webhooks_secret_is_encrypted_where_there_is_a_key(street: Street):
    old, key, id = encryption.new_key(), encryption.new_key(), new_id()
    cipher = SecretCipher((old,))
    text = webhook_secrets.stored(cipher, NAMESPACE, id, SECRET)
    assert SECRET not in text
    assert webhook_secrets.opened(cipher, NAMESPACE, id, text) == SECRET
    with pytest.raises(encryption.DecryptionFailed):  # copied to another subscription
        webhook_secrets.opened(cipher, NAMESPACE, new_id(), text)
    assert webhook_secrets.opened(SecretCipher((key,)), NAMESPACE, id, SECRET) == SECRET
    both = SecretCipher((key, old))
    again = webhook_secrets.reencrypted(both, NAMESPACE, id, text)
    assert webhook_secrets.opened(SecretCipher((key,)), NAMESPACE, id, again) == SECRET


def test_what_is_sent_is_signed_with_an_encrypted_secret(street: Street):
    cipher = SecretCipher((encryption.new_key(),))
    with Stub(lambda _: Answer(200)) as receiver:
        id = street.subscribe(receiver.url)
        rotated = subscription_queries.reencrypt_all(
            street.services.database, Scope(), partial(webhook_secrets.reencrypted, cipher)
        )
        assert rotated == (1, [])
        assert stored_secret(street, id).startswith(webhook_secrets.PREFIX)
        street.send(event("1"))
        street.office.start()  # it has no key
        street.until(lambda: "EncryptionKeyMissing" in (street.deliveries(id)[0]["error"] or ""))
        street.office._cipher = cipher
        street.hurry(1e6)
        street.until(lambda: len(receiver.requests) == 1)
        standardwebhooks.Webhook(SECRET).verify(
            receiver.requests[0].body, dict(receiver.requests[0].headers)
        )
