"""A login at an identity provider: over real sockets, and refused for each thing that is wrong."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from api.http import authentication, sessions
from api.http.app_state import EXTENSION, AppState
from api.server.gunicorn_server import needs_keys
from api.shared import oidc_provider
from api.shared.oidc_provider import OidcProvider
from api.shared.oidc_settings import oidc_settings
from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings
from tests.support.api import Api, document, problem
from tests.support.oidc_server import CLIENT, SECRET, OidcServer, new_key

PUBLIC = "https://wf.example/flows"
CALLBACK = f"{PUBLIC}/console/login/oidc/callback"
CONSOLE = {"X-Orchestrator-Console": "1"}
ADA = {
    "sub": "00u1ada",
    "email": "ada@example.com",
    "email_verified": True,
    "groups": ["everyone", "shop-operators"],
}
ACCESS = [
    {"group": "platform", "role": "admin", "namespaces": ["*"]},
    {"group": "shop-operators", "role": "operator", "namespaces": ["shop"]},
    {"group": "bill-operators", "role": "operator", "namespaces": ["bill"]},
    {"group": "everyone", "role": "viewer", "namespaces": ["shop", "bill", "news"]},
]


@pytest.fixture(scope="module")
def _provider() -> Iterator[OidcServer]:
    made = OidcServer(CALLBACK).start()
    yield made
    made.stop()


@pytest.fixture
def provider(_provider: OidcServer) -> OidcServer:
    _provider.reset(person=dict(ADA))
    return _provider


@pytest.fixture(scope="module")
def _application(module_database_url: str, _provider: OidcServer) -> Iterator[Api]:
    settings = {"public_url": PUBLIC, "oidc": json.dumps(about(_provider))}
    made = Api.on(module_database_url, "redis://127.0.0.1:1/0", authenticate=True, **settings)
    yield made
    made.close()


def about(provider: OidcServer, **more: Any) -> dict[str, Any]:
    return {
        "issuer": provider.url,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "label": "Shop <SSO>",
        "access": ACCESS,
        **more,
    }


@pytest.fixture
def api(_application: Api, provider: OidcServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The application with a fresh provider, and a browser without cookies."""
    monkeypatch.setattr(authentication, "CACHE_TIME", 0.0)
    monkeypatch.setattr(sessions, "CACHE_TIME", 0.0)
    extensions = _application.client.application.extensions
    extensions[EXTENSION] = replaced(_application, about(provider))
    _application.client._cookies = {}
    yield _application
    _application.empty()


@pytest.fixture
def make(api: Api, provider: OidcServer) -> Callable[..., Api]:
    """The application with other settings of the provider."""

    def build(**more: Any) -> Api:
        extensions = api.client.application.extensions
        extensions[EXTENSION] = replaced(api, about(provider, **more))
        return api

    return build


def replaced(api: Api, oidc: dict[str, Any]) -> AppState:
    state: AppState = api.client.application.extensions[EXTENSION]
    settings = oidc_settings(Settings(public_url=PUBLIC, oidc=json.dumps(oidc)))
    assert settings is not None
    return dataclasses.replace(
        state,
        oidc=OidcProvider(settings, CALLBACK),
        sessions=sessions.Sessions(state.services.database, PUBLIC, settings),
    )


def get(api: Api, address: str) -> Any:
    """What a browser does with an address of ours."""
    parts = urlsplit(address)
    path = parts.path.removeprefix("/flows") + (f"?{parts.query}" if parts.query else "")
    return api.client.get(path, base_url="https://wf.example")


def begin(api: Api, next: str = "/flows/console/instances") -> str:
    """The provider's address, where a click on the page's link leads."""
    page = get(api, f"/flows/console/login?next={next}")
    assert "Log in with\nShop &lt;SSO&gt;" in page.text
    answer = get(api, f"/flows/console/login/oidc?next={next}")
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def at_provider(address: str) -> str:
    """Where the provider sends the browser back to."""
    answer = httpx2.get(address)
    assert answer.status_code == 302, answer.text
    return str(answer.headers["Location"])


def login(api: Api, **more: Any) -> Any:
    return get(api, at_provider(begin(api, **more)))


def me(api: Api) -> Any:
    return api.client.get("/v1/me", base_url="https://wf.example")


def refused(api: Api, answer: Any, status: int = 403) -> None:
    assert answer.status_code == status, answer.text
    assert "alert" in answer.text
    assert SECRET not in answer.text
    assert not api.all("select 1 from orchestrator.sessions")
    assert me(api).status_code == 401


def test_a_person_logs_in_and_the_audit_names_them(api: Api):
    answer = login(api)
    assert (answer.status_code, answer.location) == (303, "/flows/console/instances")
    (cookie,) = [
        each
        for each in answer.headers.getlist("Set-Cookie")
        if each.startswith("__Host-orchestrator=")
    ]
    assert all(part in cookie for part in ("HttpOnly", "Secure", "SameSite=Lax", "Path=/"))
    found = me(api).json
    assert (found["name"], found["role"]) == ("ada@example.com (00u1ada)", "operator")
    assert (found["namespaces"], found["authentication"]) == (["shop"], "session")
    made = api.client.post(
        "/v1/workflows", json=document(), headers=CONSOLE, base_url="https://wf.example"
    )
    assert made.status_code == 201, made.text
    rows = api.all("select action, actor, details from orchestrator.audit_log order by id")
    assert [row[:2] for row in rows] == [
        ("session.begin", "ada@example.com (00u1ada)"),
        ("workflow.deploy", "ada@example.com (00u1ada)"),
    ]
    assert rows[0][2]["subject"] == "00u1ada"
    assert rows[0][2]["groups"] == ["everyone", "shop-operators"]
    ((hours,),) = api.all(
        "select extract(epoch from expires_at - created_at) / 3600 from orchestrator.sessions"
    )
    assert round(hours) == 12
    gone = api.client.post("/console/logout", headers=CONSOLE, base_url="https://wf.example")
    assert (gone.status_code, me(api).status_code) == (204, 401)


@pytest.mark.parametrize("algorithm", ["ES256", "PS256"])
def test_other_signatures(make: Callable[..., Api], provider: OidcServer, algorithm: str):
    provider.algorithm, provider.key = algorithm, new_key(algorithm)
    assert login(make()).status_code == 303


def test_the_secret_goes_where_the_provider_wants_it(
    make: Callable[..., Api], provider: OidcServer, tmp_path: Path
):
    provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    assert login(make(client_secret=None, client_secret_file=str(file))).status_code == 303


def test_the_role_is_the_highest_and_its_namespaces_are_not_those_of_lower_ones(
    make: Callable[..., Api], provider: OidcServer
):
    provider.person["groups"] = ["everyone", "bill-operators", "shop-operators"]
    api = make()
    login(api)
    assert (me(api).json["role"], me(api).json["namespaces"]) == ("operator", ["bill", "shop"])
    provider.person["groups"] = "platform"
    login(api)
    assert (me(api).json["role"], me(api).json["namespaces"]) == ("admin", None)


def test_access_follows_the_settings_while_a_session_lasts(make: Callable[..., Api]):
    api = make()
    login(api)
    for access, status in (
        ([{"group": "everyone", "role": "viewer", "namespaces": ["news"]}], 200),
        ([{"group": "others", "role": "admin", "namespaces": ["*"]}], 401),
    ):
        later = make(access=access)
        assert me(later).status_code == status
        if status == 200:
            assert me(later).json["namespaces"] == ["news"]
    elsewhere = make(issuer="https://elsewhere.example")
    assert me(elsewhere).status_code == 401


def test_groups_of_the_user_info_and_in_a_member_of_a_claim(
    make: Callable[..., Api], provider: OidcServer
):
    del provider.person["groups"]
    provider.user_info = {"realm_access": {"roles": ["shop-operators"]}}
    api = make(groups_claim="realm_access.roles")
    login(api)
    assert me(api).json["role"] == "operator"
    provider.user_info["sub"] = "somebody-else"
    api.client._cookies = {}
    assert login(api).status_code == 403


def test_an_address_counts_only_if_it_is_verified(make: Callable[..., Api], provider: OidcServer):
    access = [{"group": "ada@example.com", "role": "viewer", "namespaces": ["shop"]}]
    api = make(groups_claim="email", access=access)
    provider.person["email_verified"] = False
    refused(api, login(api))
    provider.person["email_verified"] = True
    assert login(api).status_code == 303


def test_without_groups_there_is_no_access(api: Api, provider: OidcServer):
    for groups in ([], ["strangers"], None, {"shop-operators": True}, [["shop-operators"]]):
        provider.person["groups"] = groups
        refused(api, login(api))
    del provider.person["groups"]
    answer = login(api)
    refused(api, answer)
    assert "ada@example.com has no access" in answer.text


Claims = dict[str, Any]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another-client"},
        {"aud": [CLIENT, "another-client"]},
        {"aud": [CLIENT, "another-client"], "azp": "another-client"},
        {"azp": "another-client"},
        {"aud": None},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
        {"nonce": "of-another-login"},
        {"nonce": None},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
    ],
    ids=json.dumps,
)
def test_a_token_with_a_wrong_claim_is_refused(api: Api, provider: OidcServer, change: Claims):
    def changed(claims: Claims) -> Claims:
        return {name: value for name, value in {**claims, **change}.items() if value is not None}

    provider.claims = changed
    refused(api, login(api))


def test_a_token_of_another_login_is_refused(api: Api, provider: OidcServer):
    provider.claims = lambda claims: {**claims, "nonce": "of-another-login"}
    refused(api, login(api))


def test_several_audiences_with_ours_as_the_authorized_party(api: Api, provider: OidcServer):
    provider.claims = lambda claims: {**claims, "aud": [CLIENT, "other"], "azp": CLIENT}
    assert login(api).status_code == 303


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_signature_that_anybody_can_make_is_refused(
    api: Api, provider: OidcServer, algorithm: str
):
    provider.header = {"alg": algorithm}
    refused(api, login(api))


def test_a_signature_with_a_foreign_key_is_refused(api: Api, provider: OidcServer):
    provider.shown_keys, provider.key = [provider.key], new_key(kid="one")
    refused(api, login(api))


def test_a_key_in_the_token_itself_is_not_used(api: Api, provider: OidcServer):
    mine = new_key(kid="one")
    provider.shown_keys, provider.key = [provider.key], mine
    provider.header = {"jwk": mine.as_dict(private=False)}
    refused(api, login(api))


def test_a_new_key_is_looked_up_and_forged_ones_cause_no_load(
    api: Api, provider: OidcServer, monkeypatch: pytest.MonkeyPatch
):
    assert login(api).status_code == 303
    provider.shown_keys, provider.key = [provider.key], new_key(kid="two")
    for _ in range(3):
        assert login(api).status_code == 403
    assert provider.asked.count("keys") == 1
    monkeypatch.setattr(oidc_provider, "KEYS_PAUSE", -1.0)
    provider.shown_keys = None
    assert login(api).status_code == 303
    assert provider.asked.count("keys") == 2


def test_an_answer_counts_in_the_browser_that_asked_and_once(api: Api):
    back = at_provider(begin(api))
    cookies = api.client._cookies
    api.client._cookies = {}
    refused(api, get(api, back))  # another browser
    api.client._cookies = cookies
    assert get(api, back).status_code == 303
    api.client._cookies = {}
    api.all("delete from orchestrator.sessions")
    refused(api, get(api, back))


def test_the_answer_to_another_login_is_refused(api: Api):
    """An attacker's answer in the victim's browser: it would log the victim in as the attacker."""
    attackers = at_provider(begin(api))
    api.client._cookies = {}
    begin(api)
    refused(api, get(api, attackers))


def test_a_code_is_of_use_only_to_who_asked_for_it(api: Api):
    stolen = parse_qs(urlsplit(at_provider(begin(api))).query)["code"][0]
    api.client._cookies = {}
    state = parse_qs(urlsplit(begin(api)).query)["state"][0]
    refused(api, get(api, f"{CALLBACK}?code={stolen}&state={state}"))


def test_an_answer_of_another_issuer_is_refused(api: Api, provider: OidcServer):
    provider.answer = {"iss": "https://evil.example"}
    refused(api, login(api))
    provider.answer = {"iss": provider.url}
    assert login(api).status_code == 303


def test_a_promised_issuer_must_be_there(make: Callable[..., Api], provider: OidcServer):
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    api = make()
    refused(api, login(api))


def test_a_refusal_of_the_provider_is_told(api: Api, provider: OidcServer):
    provider.answer = {"error": "access_denied<script>"}
    answer = login(api)
    refused(api, answer)
    assert "<script>" not in answer.text


@pytest.mark.parametrize("what", ["openid-configuration", "token", "keys"])
def test_a_provider_that_is_broken(make: Callable[..., Api], provider: OidcServer, what: str):
    api = make()
    provider.broken = {what}
    if what == "openid-configuration":
        refused(api, get(api, "/flows/console/login/oidc"), 503)
    else:
        refused(api, login(api), 503)
    provider.broken = set()
    assert login(api).status_code == 303


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"authorization_endpoint": "http://evil.example/authorize"},
        {"authorization_endpoint": None},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
    ],
    ids=json.dumps,
)
def test_metadata_that_cannot_be_trusted(
    make: Callable[..., Api], provider: OidcServer, metadata: dict[str, Any]
):
    provider.metadata = metadata
    api = make()
    answer = get(api, "/flows/console/login/oidc")
    refused(api, get(api, at_provider(answer.location)) if answer.location else answer, 503)


def test_the_wrong_secret_is_not_shown(make: Callable[..., Api], caplog: pytest.LogCaptureFixture):
    api = make(client_secret="the-wrong-one")
    with caplog.at_level(logging.DEBUG):
        answer = login(api)
    refused(api, answer)
    assert "invalid_client" in caplog.text
    assert "the-wrong-one" not in caplog.text + answer.text


@pytest.mark.parametrize(
    "next", ["https://evil.example/", "//evil.example", "/flows/v1/keys", "/flows/console/../x"]
)
def test_a_login_leads_to_the_console_only(api: Api, next: str):
    assert login(api, next=next).location == "/flows/console/"


def test_names_that_are_no_line_of_text_are_not_taken(api: Api, provider: OidcServer):
    provider.person |= {"email": None, "preferred_username": "a\u202eb", "name": "Ada\nadmin"}
    login(api)
    assert me(api).json["name"] == "00u1ada"


def test_without_a_provider_there_is_none(module_database_url: str):
    made = Api.on(module_database_url, "redis://127.0.0.1:1/0", authenticate=True)
    try:
        assert "Log in with" not in made.client.get("/console/login").text
        assert problem(made.client.get("/console/login/oidc")) == "not-found"
    finally:
        made.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"issuer": "http://id.example"}, "issuer: Must be an https address"),
        ({"issuer": None}, "issuer: "),
        ({"scopes": ["email"]}, "scopes: Must contain openid"),
        ({"access": []}, "access: "),
        ({"access": [{"group": "a", "role": "god", "namespaces": ["*"]}]}, "access.0.role: "),
        ({"access": [{"group": "a", "role": "admin", "namespaces": ["A"]}]}, "access.0.namespaces"),
        ({"secret": "hidden"}, "secret: Unknown field"),
        ({"client_secret_file": "/nowhere"}, "client_secret"),
    ],
)
def test_a_setting_that_is_wrong_says_where(
    provider: OidcServer, change: dict[str, Any], message: str
):
    settings = Settings(public_url=PUBLIC, oidc=json.dumps(about(provider, **change)))
    with pytest.raises(ConfigurationError) as raised:
        oidc_settings(settings)
    assert f"ORCHESTRATOR_OIDC {message}" in str(raised.value).replace("has both ", "")
    assert SECRET not in str(raised.value)


def test_the_setting_is_a_document_or_a_file(provider: OidcServer, tmp_path: Path):
    file = tmp_path / "oidc.json"
    file.write_text(json.dumps(about(provider)))
    settings = Settings(public_url=PUBLIC, oidc=str(file))
    found = oidc_settings(settings)
    assert found is not None
    assert SECRET not in repr(found)
    assert found == oidc_settings(dataclasses.replace(settings, oidc=file.read_text()))
    with pytest.raises(ConfigurationError, match="cannot read the file"):
        oidc_settings(dataclasses.replace(settings, oidc="/nowhere.json"))
    with pytest.raises(ConfigurationError, match="no JSON document"):
        oidc_settings(dataclasses.replace(settings, oidc="{"))
    with pytest.raises(ConfigurationError, match="ORCHESTRATOR_PUBLIC_URL"):
        oidc_settings(Settings(oidc=file.read_text()))


def test_a_provider_means_that_callers_need_keys():
    assert needs_keys(Settings(oidc="{}"))
    with pytest.raises(ConfigurationError, match="unset one"):
        needs_keys(Settings(oidc="{}", api_authentication="off"))
