"""I15: another namespace's objects do not exist for you, whatever path of the description you
take. A shop with one of everything, and an admin of the namespace next door."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from api.http.rate_limiter import Rate
from api.resources import event_stream
from api.resources.api_keys import new_key
from orchestrator.database.access import api_key_queries
from orchestrator.scheduler import bulk_operations as working
from orchestrator.scheduler.bulk_operations import Operations
from orchestrator.secrets.encryption import new_key as vault_key
from tests.support.api import Api, document, problem
from tests.support.api_examples import ID
from tests.support.api_page import body_of, operations_of
from tests.support.events import STRUCTURED, event
from tests.support.manual_workers import Outside

Body = dict[str, Any]
Headers = dict[str, str]

START: Body = {"workflow": {"namespace": "shop", "name": "order"}, "business_id": "bill-1"}
HOOK: Body = {"filter": {"type": "t"}, "webhook": {"url": "https://shop.example/hook"}}
CANCEL: Body = {"action": "cancel", "filter": {"business_id": "bill-1"}}


@pytest.fixture(scope="module")
def _guarded(module_database_url: str) -> Iterator[Api]:
    settings: Body = {"authenticate": True, "rate": Rate(0), "secrets_key": (vault_key(),)}
    made = Api.on(module_database_url, "redis://127.0.0.1:1/0", **settings)
    yield made
    made.close()


@pytest.fixture
def api(_guarded: Api) -> Iterator[Api]:
    """The application with authentication on; requests are those of the shop's own admin."""
    _guarded.headers = bearer(_guarded, "shop")
    yield _guarded
    _guarded.empty()


def bearer(api: Api, namespace: str) -> Headers:
    """The header of an admin of one namespace. All have the same name."""
    row, shown = new_key({"name": "alice", "role": "admin", "namespaces": (namespace,)})
    api_key_queries.put(api.database, row)
    return {"Authorization": f"Bearer {shown}"}


class Shop:
    """One of everything in `shop`, made through the API and a worker by hand."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.outside = Outside(api)
        self.services = api.client.application.extensions["orchestrator"].services
        self.asked: list[tuple[str, str, Any]] = []
        self.places = self._made()

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        """A request with an Idempotency-Key, to be repeated from next door."""
        options |= {"json": body} if body is not None else {}
        headers = {"Idempotency-Key": f"k-{len(self.asked)}", **options.pop("headers", {})}
        answer = self.api.post(path, headers=headers, **options)
        assert answer.status_code < 300, (path, answer.text)
        self.asked.append((path, headers["Idempotency-Key"], options))
        return answer.json

    def _made(self) -> dict[str, list[Body]]:
        """What stands in the places of a path, by the resource."""
        outside, api = self.outside, self.api
        lost = outside.start([{"a": {"call": "a"}}, {"b": {"call": "b"}}], "lost")
        outside.lose(lost, "a")
        listen = {"l": {"listen": {"to": {"one": {"with": {"type": "t"}}}}}}
        api.deploy(document(do=[listen, {"w": {"wait": {"hours": 1}}}]))
        waiting = self.post("/v1/instances", START)["id"]
        outside.state.process_inbox(waiting)
        timed = outside.start([{"w": {"wait": {"hours": 1}}}], "timed")
        subscription = self.post("/v1/subscriptions", HOOK)["id"]
        self.post("/v1/subscriptions", {**HOOK, "webhook": {"url": "https://shop.example/2"}})
        sent = self.post("/v1/events", event(), headers={"Content-Type": STRUCTURED})["id"]
        self.post(
            f"/v1/instances/{waiting}/events", event("2"), headers={"Content-Type": STRUCTURED}
        )
        self.services.events.match("shop")
        (delivery, *_) = api.get(f"/v1/subscriptions/{subscription}/deliveries").json["items"]
        api.deploy(document("nightly", schedule={"cron": "0 3 * * *", "every": {"hours": 9}}))
        schedule = api.get("/v1/schedules").json["items"][0]["id"]
        self.post(f"/v1/schedules/{schedule}/trigger")
        for name in ("token", "token-2"):
            assert api("put", f"/v1/secrets/{name}", json={"value": "x"}).status_code == 201
        operation = self.post("/v1/operations", CANCEL)["id"]
        self.post(f"/v1/instances/{timed}/suspend")
        (letter,) = api.get("/v1/dead-letters").json["items"]
        key = self.post("/v1/keys", {"name": "k", "role": "viewer", "namespaces": ["shop"]})["id"]
        return {
            "workflows": [{"namespace": "shop", "name": "order", "version": "1.0.0"}],
            "instances": [
                {"id": lost, "step": "1"}, {"id": lost, "step": "2"},
                {"id": waiting, "step": "1"}, {"id": timed, "step": "1"},
            ],
            "events": [{"id": sent}],
            "subscriptions": [{"id": subscription, "delivery": delivery["id"]}],
            "schedules": [{"id": schedule}],
            "secrets": [{"name": "token"}],
            "operations": [{"id": operation}],
            "dead-letters": [{"id": letter["id"]}],
            "keys": [{"id": key}],
        }  # fmt: skip

    @property
    def ids(self) -> set[str]:
        """What no answer to a stranger may show."""
        known = {one[name] for row in self.places.values() for one in row for name in one}
        rows = self.api.all("select id::text from orchestrator.instances")
        return {each for each in known if len(each) == 36} | {id for (id,) in rows} | {"token-2"}


@pytest.fixture
def shop(api: Api) -> Shop:
    return Shop(api)


@pytest.fixture
def stranger(api: Api) -> Headers:
    return bearer(api, "other")


def foreign() -> dict[str, list[tuple[str, Any]]]:
    """Every request that takes a body, or has no object in its path: its queries and bodies.
    Each names something of the shop's, and is refused as what is unknown would be."""
    about = [{"namespaces": names} for names in (["shop"], ["*"], ["other", "shop"])]
    command: list[tuple[str, Any]] = [("", {}), ("", {"reason": "mine now"})]
    settle = {"step": 2, "action": "resolve"}
    day = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
    named = ("suspend", "resume", "cancel", "terminate", "retry", "compensate")
    return {
        "post /v1/workflows": [("", document()), ("", document("new")), ("dry_run=true", document())],  # noqa: E501
        "post /v1/instances": [("", START), ("", [START, START])],
        "post /v1/instances/{id}/events": [("", event()), ("dry_run=true", event("2"))],
        "post /v1/instances/{id}/compensation": [("", settle)],
        "post /v1/instances/{id}/skip": [("", {"step": 1, "output": 1})],
        **{f"post /v1/instances/{{id}}/{name}": command for name in named},
        "post /v1/instances/{id}/steps/{step}/retry-now": command,
        "post /v1/dead-letters/{id}/retry": command,
        "post /v1/dead-letters/{id}/resolve": command,
        "post /v1/operations": [
            ("", {"action": "cancel", "filter": {"namespace": "shop"}}),
            ("", {"action": "dead-letter.retry", "filter": {"namespace": "shop"}}),
            ("", {"action": "cancel", "filter": {"namespace": "shop"}, "dry_run": True}),
        ],
        "patch /v1/schedules/{id}": [("", {"paused": True})],
        "post /v1/schedules/{id}/trigger": [("", {}), ("", {"input": {"a": 1}})],
        "post /v1/schedules/{id}/backfill": [("", day)],
        "post /v1/events": [(f"namespace=shop{dry}", event()) for dry in ("", "&dry_run=true")],
        "post /v1/subscriptions": [("", {**HOOK, "namespace": "shop"})],
        "patch /v1/subscriptions/{id}": [("", {"state": "paused"}), ("", {"filter": {"type": "x"}})],  # noqa: E501
        "put /v1/secrets/{name}": [("namespace=shop", {"value": "mine"})],
        "delete /v1/secrets/{name}": [("", None), ("namespace=shop", None)],
        "post /v1/keys": [("", {"name": "n", "role": "viewer", **opens}) for opens in about],
        "get /v1/events/stream": [("namespace=shop", None)],
        "get /v1/feed": [("namespace=shop", None)],
        "get /v1/me": [],
        "get /v1/doctor": [],
        "get /v1/instances/{id}/steps": [("", None), ("parent=0", None)],
        "get /v1/instances/{id}": [("", None), ("wait=1", None)],
        # These answer, and are empty: see below. With a namespace they are refused.
        **{f"get /v1/{name}": [("namespace=shop", None)] for name in NAMESPACED},
        **{f"get /v1/{name}": [] for name in (*LISTS, *SHARED)},
        "post /v1/secrets/-/rotate": [],
        "get /v1/instances/counts": [("namespace=shop", None)],
        "get /v1/workflows/{namespace}/{name}/diff": [("from=1.0.0&to=1.0.0", None)],
    }  # fmt: skip


#: Lists that can be asked for by namespace, and those that cannot.
NAMESPACED = ("workflows", "instances", "schedules", "events", "subscriptions", "secrets")
LISTS = ("dead-letters", "operations", "timers", "listeners", "audit", "namespaces", "keys")
#: What answers no list.
NO_LISTS = ("events/stream", "feed", "me", "doctor")
#: Machines are nobody's: whoever operates any namespace sees them, and nothing of what they do
#: for whom.
SHARED = ("workers", "queues")


def requests(
    shop: Shop,
) -> Iterator[tuple[str, str, Body, str, Any]]:
    """Every operation with every object in its path: (method, path, places, query, body)."""
    asked = foreign()
    for path, method, operation in operations_of(shop.api.description.spec):
        if not path.startswith("/v1/"):
            continue
        name, placed = f"{method} {path}", "{" in path
        assert name in asked or (placed and body_of(operation) is None), f"nothing to ask: {name}"
        places = shop.places.get(path.split("/")[2]) if placed else [{}]
        assert places, f"no object of the shop's for {name}"
        for found in places:
            for query, body in asked.get(name, [("", None)]):
                yield method, path, found, query, body


def ask(shop: Shop, who: Headers, method: str, path: str, query: str, body: Any) -> Any:
    headers = dict(who)
    if path.endswith("/events") and body is not None:
        headers["Content-Type"] = STRUCTURED
    options = {} if body is None else {"json": body}
    return shop.api(method, f"{path}?{query}" if query else path, headers=headers, **options)


def unknown(places: Body) -> Body:
    """The places of something that is nowhere."""
    nowhere = {"namespace": "nowhere", "name": "nothing"}
    return {
        name: ID if len(text) == 36 else nowhere.get(name, text) for name, text in places.items()
    }


def told(answer: Any, places: Body) -> tuple[Any, ...]:
    """What an answer says, save for what was asked about."""
    detail = answer.json.get("detail") or ""
    for text in sorted(places.values(), key=len, reverse=True):
        detail = detail.replace(text, "…") if len(text) > 2 else detail
    return answer.status_code, problem(answer), answer.json["title"], detail


def renamed(value: Any) -> Any:
    """The same query or body about a namespace that is nowhere."""
    if isinstance(value, dict):
        return {name: renamed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [renamed(each) for each in value]
    return value.replace("shop", "nowhere") if isinstance(value, str) else value


def test_what_is_in_another_namespace_is_not_there(shop: Shop, stranger: Headers):
    """By every path and method: the answer is that to an id of nothing, and no row changes."""
    before, secret, asked = shop.api.checksums(), shop.ids, 0
    for method, path, places, query, body in requests(shop):
        ours, nothing = path.format(**places), path.format(**unknown(places))
        found = ask(shop, stranger, method, ours, query, body)
        about = (method, ours, query, body, found.text)
        assert (found.status_code, problem(found)) == (404, "not-found"), about
        same = ask(shop, stranger, method, nothing, renamed(query), renamed(body))
        words = {**places, "": "shop"}, {**unknown(places), "": "nowhere"}
        assert told(found, words[0]) == told(same, words[1]), about
        shown = found.text.replace(ours, "")
        assert not [id for id in secret - set(places.values()) if id in shown], about
        asked += 1
    assert asked > 100
    assert shop.api.checksums() == before


def test_what_another_namespace_was_answered_is_not_told_again(shop: Shop, stranger: Headers):
    """The same requests under the same Idempotency-Keys, from a caller of the same name."""
    before, secret = shop.api.checksums(), shop.ids
    assert len(shop.asked) > 8
    own = ("/v1/subscriptions", "/v1/events", "/v1/operations")  # these go into `other`
    for path, key, options in sorted(shop.asked, key=lambda one: one[0] in own):
        headers = {**stranger, "Idempotency-Key": key}
        if "events" in path:
            headers["Content-Type"] = STRUCTURED
        answer = shop.api.post(path, headers=headers, **options)
        assert "Idempotency-Replayed" not in answer.headers, path
        if path in own:
            assert (answer.status_code < 300, answer.json["id"] in secret) == (True, False), path
        else:
            assert (path, answer.status_code) == (path, 404), answer.text
            assert shop.api.checksums() == before


def test_lists_are_empty(shop: Shop, stranger: Headers):
    """Plain, by each filter that names something of the shop's, and from one of its pages on."""
    secret = shop.ids
    before = shop.api.checksums()
    (lost, *_, timed) = (each["id"] for each in shop.places["instances"])
    ((attempt,),) = shop.api.all("select id::text from orchestrator.attempts limit 1")
    given = {
        "workflow": ["order", "shop/order", "shop/order/1.0.0"], "q": ["bill", "order", lost],
        "business_id": ["bill-1"], "instance": [lost, timed], "target": [lost, timed],
        "id": [lost, lost[:8]], "attempt": [attempt], "parent": [lost],
        "source": ["/s"], "type": ["t"], "action": ["instance.suspend", "key.make"],
        "status": ["waiting,faulted"], "compensation": ["none"], "resolved": ["false"],
        "started_after": ["2020-01-01T00:00:00Z"], "started_before": ["2099-01-01T00:00:00Z"],
        "attention": ["any"], "waiting_for": ["event,timer"], "error.type": ["x"],
        "facets": ["workflow,attention,error"], "fields": ["summary"],
        "sort": ["started_at"], "live": ["true"], "limit": ["1000"], "namespace": ["other"],
    }  # fmt: skip
    states = {"schedules": "active", "operations": "pending", "subscriptions": "active"}
    pages = 0
    for path, method, operation in operations_of(shop.api.description.spec):
        name = path.removeprefix("/v1/")
        if (
            method != "get"
            or "{" in path
            or name in ("events/stream", "feed", "me", "doctor", path)
        ):
            continue
        queries = [""]
        for one in (each["name"] for each in operation["parameters"] if each["in"] == "query"):
            if one == "state":
                queries.append(f"state={states[name]}")
            elif one != "cursor":
                queries += [f"{one}={value}" for value in given[one]]
            else:
                page = shop.api.get(f"{path}?limit=1").json["next"]
                queries += [f"cursor={page}"] if page else []
                pages += bool(page)
        if name == "instances":
            queries += ["input.a=1", "label.team=a"]
        for query in queries:
            answer = shop.api.get(f"{path}?{query}", headers=stranger)
            about = (path, query, answer.text)
            assert answer.status_code == 200, about
            items = answer.json["items"]
            if name == "keys":
                assert all(each["namespaces"] == ["other"] for each in items), about
            elif name == "instances/counts":
                assert {each["count"] for each in items} <= {0}, about
            elif name not in SHARED:
                assert items == [], about
            assert not [id for id in secret if id in answer.text.replace(query, "")], about
    assert pages >= 6
    assert shop.api.checksums() == before


def test_a_filter_of_a_bulk_command_reaches_nothing(shop: Shop, stranger: Headers):
    lost = shop.places["instances"][0]["id"]
    filters: list[tuple[str, Body]] = [
        ("cancel", {"business_id": "bill-1"}), ("cancel", {"workflow": "shop/order"}),
        ("cancel", {"workflow": "order"}), ("suspend", {"status": "waiting"}),
        ("retry", {"q": lost}), ("dead-letter.retry", {"instance": lost}),
        ("dead-letter.resolve", {"instance": lost}),
    ]  # fmt: skip
    shop.api.all("update orchestrator.bulk_operations set state = 'stopped'")
    before = shop.api.checksums()
    for dry in (True, False):
        for action, filter in filters:
            body = {"action": action, "filter": filter, "dry_run": dry}
            made = shop.api.post("/v1/operations", json=body, headers=stranger)
            assert (made.json["matches"], made.json.get("sample", [])) == (0, []), made.text
    jobs = Operations(shop.api.database, shop.services.dispatcher)
    while jobs.work() == working.BUSY_INTERVAL:
        pass
    after = shop.api.checksums()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"bulk_operations", "audit_log"}


def test_writes_into_your_own_namespace_leave_others_alone(shop: Shop, stranger: Headers):
    """An event of the same source and id, a rotation of secrets, a document of the same name."""
    theirs = "select md5(string_agg(t::text, ' ' order by t::text)) from orchestrator.{} t"
    tables = ("secrets", "stimuli", "listeners", "event_offers", "deliveries", "steps", "instances")
    before = [shop.api.all(theirs.format(name)) for name in tables]
    headers = {**stranger, "Content-Type": STRUCTURED}
    sent = shop.api.post("/v1/events", json=event(), headers=headers)
    assert sent.json["duplicate"] is False
    shop.services.events.match("other")
    assert shop.api.get(f"/v1/events/{sent.json['id']}", headers=stranger).json["matches"] == []
    rotated = shop.api.post("/v1/secrets/-/rotate", headers=stranger).json
    assert rotated == {"rotated": 0, "unreadable": []}
    mine = document()
    mine["document"]["namespace"] = "other"
    assert shop.api.post("/v1/workflows", json=mine, headers=stranger).status_code == 201
    key = {"name": "alice", "role": "viewer", "namespaces": ["other"]}
    assert shop.api.post("/v1/keys", json=key, headers=stranger).status_code == 201
    assert [shop.api.all(theirs.format(name)) for name in tables] == before


def test_names_of_keys_elsewhere_hinder_nobody(api: Api, stranger: Headers):
    """Who may make no third key of a name would know that there are two."""
    asked = {"name": "ci", "role": "viewer", "namespaces": ["shop"]}
    assert [api.post("/v1/keys", json=asked).status_code for _ in range(3)] == [201, 201, 409]
    mine = api.post("/v1/keys", json={**asked, "namespaces": ["other"]}, headers=stranger)
    assert mine.status_code == 201


def test_a_document_runs_no_workflow_of_another_namespace(shop: Shop, stranger: Headers):
    about = {"namespace": "shop", "name": "timed", "version": "1.0.0"}
    for number, named in enumerate(
        (about, {**about, "name": "${ .name }"}, {**about, "name": "x"})
    ):
        mine = document("thief", f"{number}.0.0", do=[{"sub": {"run": {"workflow": named}}}])
        mine["document"]["namespace"] = "other"
        strict = shop.api.post("/v1/workflows?strict=true", json=mine, headers=stranger)
        deployed = shop.api.post("/v1/workflows", json=mine, headers=stranger)
        assert (strict.status_code, deployed.status_code) == (422, 201)
        (warning,) = deployed.json["warnings"]
        assert warning["pointer"] == "/do/0/sub/run/workflow/namespace"
        assert "its own namespace 'other' only, not of 'shop'" in warning["message"]
        start = {"workflow": {"namespace": "other", "name": "thief"}, "input": {"name": "timed"}}
        id = shop.api.post("/v1/instances", json=start, headers=stranger).json["id"]
        before = shop.api.content()["instances"]
        shop.outside.state.process_inbox(id)
        found = shop.api.get(f"/v1/instances/{id}", headers=stranger).json
        assert (found["status"], found["error"]["status"]) == ("faulted", 404)
        assert found["error"]["detail"].startswith("there is no workflow shop/")
        assert shop.api.content()["instances"] == before


@pytest.mark.slow
def test_the_live_feed_tells_only_of_your_own(
    shop: Shop, stranger: Headers, monkeypatch: pytest.MonkeyPatch
):
    """From the very beginning on, and of what happens while somebody looks on."""
    monkeypatch.setattr(event_stream, "HEARTBEAT", 0.3)
    monkeypatch.setattr("api.shared.live_feed.POLL_INTERVAL", 0.01)
    for who, least in ((stranger, 0), (shop.api.headers, 10)):
        answer = shop.api.client.get(
            "/v1/events/stream", headers={**who, "Last-Event-ID": "1.0"}, buffered=False
        )
        shop.api.post("/v1/events", json=event("7"), headers={"Content-Type": STRUCTURED})
        read = b""
        pieces: Iterator[Any] = iter(answer.response)
        # A part of the replay begins with one comment; two in a row are the heartbeats of silence.
        for piece in pieces:
            read += piece
            if read.endswith(b":\n\n:\n\n"):
                break
        answer.close()
        told = read.count(b"data: ")
        assert (told > least) if least else told == 0, read
