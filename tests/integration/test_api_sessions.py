"""A browser's session: begun with a key once, ended with it, and of no use to other pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api.http import authentication, sessions
from api.resources import event_stream
from api.resources.api_keys import new_key
from api.shared import instance_waiters
from orchestrator.database.access import api_key_queries
from tests.support.api import Api, document, problem

NO_BROKER = "redis://127.0.0.1:1/0"
CONSOLE = {"X-Orchestrator-Console": "1"}
OURS = "http://localhost"


@pytest.fixture(scope="module")
def _guarded(module_database_url: str) -> Iterator[Api]:
    made = Api.on(module_database_url, NO_BROKER, authenticate=True)
    yield made
    made.close()


@pytest.fixture
def api(_guarded: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr(authentication, "CACHE_TIME", 0.0)
    monkeypatch.setattr(sessions, "CACHE_TIME", 0.0)
    _guarded.client._cookies = {}
    yield _guarded
    _guarded.client._cookies = {}
    _guarded.empty()


Key = Callable[..., str]


@pytest.fixture
def key(api: Api) -> Key:
    """Makes a key; the key as it is shown once."""

    def make(role: str = "operator", *namespaces: str) -> str:
        about = {"name": "Ada Ray", "role": role, "namespaces": namespaces or ("*",)}
        row, shown = new_key(about)
        api_key_queries.put(api.database, row)
        return shown

    return make


def submit(api: Api, key: str, next: str = "", **more: Any) -> Any:
    """Fill in the form as a browser does."""
    form = api.client.get(f"/console/login?next={next}", base_url=more.get("base_url"))
    token = re.search('name="token" value="([^"]+)"', form.text)
    assert token is not None
    data = {"key": key, "token": token[1], "next": next}
    return api.client.post("/console/login", data={**data, **more.pop("data", {})}, **more)


def cookie(answer: Any, name: str = "orchestrator") -> str:
    found = [each for each in answer.headers.getlist("Set-Cookie") if each.startswith(f"{name}=")]
    assert found, answer.headers
    return str(found[0])


def test_a_key_is_exchanged_for_a_session_that_names_the_person(api: Api, key: Key):
    assert problem(api.get("/v1/me")) == "unauthenticated"
    answer = submit(api, key("operator", "shop"), "/console/instances")
    assert (answer.status_code, answer.location) == (303, "/console/instances")
    set_cookie = cookie(answer)
    assert "HttpOnly" in set_cookie
    assert "SameSite=Lax" in set_cookie
    assert "Secure" not in set_cookie
    me = api.get("/v1/me").json
    assert (me["name"], me["role"], me["namespaces"]) == ("Ada Ray", "operator", ["shop"])
    assert me["authentication"] == "session"
    assert me["expires_at"]
    made = api.post("/v1/workflows", json=document(), headers=CONSOLE)
    assert made.status_code == 201
    ((actor,),) = api.all("select actor from orchestrator.audit_log")
    assert actor == "Ada Ray"
    ((stored,),) = api.all("select encode(hash, 'hex') from orchestrator.sessions")
    assert set_cookie.split("=")[1].split(";")[0] not in stored


def test_a_role_holds_for_its_session(api: Api, key: Key):
    submit(api, key("viewer"))
    assert api.get("/v1/instances").status_code == 200
    refused = api.post("/v1/workflows", json=document(), headers=CONSOLE)
    assert (refused.status_code, problem(refused)) == (403, "forbidden")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        (CONSOLE, 201),
        ({**CONSOLE, "Origin": OURS}, 201),
        ({**CONSOLE, "Origin": "https://evil.example"}, 403),
        ({**CONSOLE, "Origin": "null"}, 403),
        ({**CONSOLE, "Origin": "http://localhost:81"}, 403),
        ({**CONSOLE, "Sec-Fetch-Site": "same-origin"}, 201),
        ({**CONSOLE, "Sec-Fetch-Site": "same-site"}, 403),
        ({**CONSOLE, "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_only_our_own_pages_may_use_a_session(
    api: Api, key: Key, headers: dict[str, str], status: int
):
    submit(api, key())
    answer = api.post("/v1/workflows", json=document(), headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert not api.all("select 1 from orchestrator.workflows")


@pytest.mark.parametrize("path", ["/v1/feed", "/v1/events/stream", "/v1/instances"])
def test_reads_and_streams_are_refused_to_other_origins_too(api: Api, key: Key, path: str):
    submit(api, key())
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
        assert api.client.get(path, headers=headers).status_code == 403


def test_a_session_ends_with_its_key_its_time_or_a_logout(api: Api, key: Key):
    submit(api, key())
    assert api.get("/v1/me").status_code == 200
    api.all("update orchestrator.api_keys set revoked_at = now()")
    assert problem(api.get("/v1/me")) == "unauthenticated"
    submit(api, key())
    api.all("update orchestrator.sessions set expires_at = now()")
    assert problem(api.get("/v1/me")) == "unauthenticated"
    submit(api, key())
    assert api.client.post("/console/logout").status_code == 403, "without the header"
    assert api.get("/v1/me").status_code == 200
    assert api.client.post("/console/logout", headers=CONSOLE).status_code == 204
    assert problem(api.get("/v1/me")) == "unauthenticated"
    assert not api.all("select 1 from orchestrator.sessions where expires_at > now()")


def test_a_login_makes_a_new_id_and_ends_the_old_one(api: Api, key: Key):
    api.client.set_cookie("orchestrator", "chosen-by-another")
    first = cookie(submit(api, key()))
    second = cookie(submit(api, key()))
    assert "chosen-by-another" not in first
    assert first.split(";")[0] != second.split(";")[0]
    assert len(api.all("select 1 from orchestrator.sessions")) == 1


def test_a_form_of_another_page_and_a_wrong_key_are_refused(api: Api, key: Key):
    shown = key()
    for data in ({"token": ""}, {"token": "x"}):
        assert submit(api, shown, data=data).status_code == 403
    answer = submit(api, shown, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    for wrong in ("", "a.b", shown + "x"):
        answer = submit(api, wrong)
        assert answer.status_code == 401
        assert "no valid API key" in answer.text
    assert not api.all("select 1 from orchestrator.sessions")


@pytest.mark.parametrize(
    "next",
    ["//evil.example/", "https://evil.example/", "/v1/instances", "/console/..//evil",
     "/console\\x", "/console//evil.example", "/console/\r\nX: y", "javascript:alert(1)"],
)  # fmt: skip
def test_a_login_leads_below_the_console_only(api: Api, key: Key, next: str):
    answer = submit(api, key(), "", data={"next": next})
    assert answer.location == "/console/"


def test_a_page_says_that_postgres_is_down():
    down = Api.on("postgresql://nobody@127.0.0.1:1/none", NO_BROKER, authenticate=True)
    try:
        assert down.client.get("/console/login").status_code == 200
        answer = submit(down, "abc.def")
        assert answer.status_code == 503
        assert "database does not answer" in answer.text
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    finally:
        down.close()


def test_behind_a_proxy_the_public_url_decides_path_and_cookies(module_database_url: str):
    public = "https://example.com/wf"
    proxied = Api.on(module_database_url, NO_BROKER, authenticate=True, public_url=public)
    try:
        row, shown = new_key({"name": "Ada", "role": "admin", "namespaces": ("*",)})
        api_key_queries.put(proxied.database, row)
        secure = {"base_url": "https://example.com"}
        form = proxied.client.get("/wf/console/login", **secure)
        assert 'action="/wf/console/login"' in form.text
        token = re.search('name="token" value="([^"]+)"', form.text)
        assert token is not None
        data = {"key": shown, "token": token[1], "next": "/wf/console/x"}
        forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
        answer = proxied.client.post("/console/login", data=data, headers=forged, **secure)
        assert answer.location == "/wf/console/x"
        set_cookie = cookie(answer, "__Host-orchestrator")
        assert "Secure" in set_cookie
        assert "Path=/;" in set_cookie
        assert "Domain" not in set_cookie
        ours = {"Origin": "https://example.com"}
        assert proxied.client.get("/wf/v1/me", headers=ours, **secure).status_code == 200
        other = {"Origin": "http://example.com"}
        assert proxied.client.get("/v1/me", headers=other, **secure).status_code == 403
    finally:
        proxied.empty()
        proxied.close()


def test_without_authentication_there_is_no_login_but_other_pages_stay_out(
    module_database_url: str,
):
    open_to_all = Api.on(module_database_url, NO_BROKER)
    try:
        assert open_to_all.client.get("/console/login").location == "/console/"
        assert open_to_all.get("/v1/me").json["authentication"] == "off"
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = open_to_all.post("/v1/workflows", json=document(), headers=headers)
            assert answer.status_code == 403
        assert open_to_all.post("/v1/workflows", json=document()).status_code == 201
    finally:
        open_to_all.empty()
        open_to_all.close()


def test_streams_and_long_polls_last_as_long_as_their_session(
    api: Api, key: Key, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(instance_waiters, "CHECK_INTERVAL", 0.01)
    monkeypatch.setattr(event_stream, "CHECK_INTERVAL", 0.01)
    monkeypatch.setattr(event_stream, "HEARTBEAT", 0.0)
    submit(api, key("admin"))
    task = {"w": {"wait": {"hours": 1}}}
    api.post("/v1/workflows", json=document("order", do=[task]), headers=CONSOLE)
    body = {"workflow": {"namespace": "shop", "name": "order"}}
    id = api.post("/v1/instances", json=body, headers=CONSOLE).json["id"]
    assert api.get(f"/v1/instances/{id}?wait=1").status_code == 200
    stream = api.client.get("/v1/events/stream", buffered=False)
    pieces: Iterator[Any] = iter(stream.response)
    assert [next(pieces) for _ in range(20)][-1] == b":\n\n"
    api.all("delete from orchestrator.sessions")
    for _ in pieces:  # it ends by itself
        pass
