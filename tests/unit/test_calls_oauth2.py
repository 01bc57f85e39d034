"""Access tokens for calls: `oauth2` and `oidc`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator.calls import CallContext, perform
from orchestrator.calls.token_cache import Tokens
from orchestrator.errors import WorkflowError
from orchestrator.expressions import Evaluator
from orchestrator.outbound import OutboundClient
from tests.support.http_stub import Answer, Request, Stub

OUTBOUND = OutboundClient(allow=("127.0.0.0/8", "::1/128"), timeout=5)
CLIENT = {"id": "me", "secret": "mine"}


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    evaluator = Evaluator()
    yield evaluator
    evaluator.close()


@pytest.fixture
def context(evaluator: Evaluator) -> CallContext:
    return CallContext(OUTBOUND, evaluator.evaluate, input={"realm": "r"})


def jwt(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.sig"


class Server:
    """A token endpoint, its discovery document, and a resource that takes its tokens."""

    def __init__(self) -> None:
        self.answer: Callable[[Request], Answer] = lambda request: Answer(
            json={"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600}
        )
        self.url = ""
        self.tokens: list[Request] = []
        self.calls: list[Request] = []
        self.refuse = False

    def handle(self, request: Request) -> Answer:
        if request.path.endswith("/.well-known/openid-configuration"):
            return Answer(json={"token_endpoint": f"{self.url}/discovered"})
        if request.path == "/hello":
            self.calls.append(request)
            return Answer(401 if self.refuse else 200, json={"message": "hello"})
        if request.method == "POST":
            self.tokens.append(request)
            return self.answer(request)
        return Answer(404)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with Stub(server.handle) as stub:
        server.url = stub.url
        yield server


def call(server: Server, context: CallContext, policy: Any) -> Any:
    endpoint = {"uri": f"{server.url}/hello", "authentication": policy}
    return perform({"kind": "http", "with": {"method": "get", "endpoint": endpoint}}, context)


@pytest.mark.parametrize(
    ("scheme", "properties", "path"),
    [
        ("oauth2", {"authority": "{url}/realms/r"}, "/realms/r/oauth2/token"),
        ("oauth2", {"authority": "{url}/", "endpoints": {"token": "/t"}}, "/t"),
        ("oauth2", {"authority": "{url}/a", "endpoints": {"token": "b/c"}}, "/a/b/c"),
        ("oauth2", {"authority": "{url}/{{realm}}"}, "/r/oauth2/token"),
        ("oauth2", {"authority": "{url}/.well-known/openid-configuration"}, "/discovered"),
        ("oidc", {"authority": "{url}/.well-known/openid-configuration"}, "/discovered"),
        ("oidc", {"authority": "{url}/realms/r"}, "/discovered"),
        ("oidc", {"authority": "{url}/connect/token"}, "/connect/token"),
    ],
)
def test_where_tokens_come_from(
    server: Server, context: CallContext, scheme: str, properties: dict[str, Any], path: str
) -> None:
    properties["authority"] = properties["authority"].format(url=server.url)
    policy = {scheme: {"grant": "client_credentials", "client": CLIENT, **properties}}
    assert call(server, context, policy) == {"message": "hello"}
    assert [request.path for request in server.tokens] == [path]
    assert server.calls[0].headers["authorization"] == "Bearer token-1"


@pytest.mark.parametrize(
    ("properties", "fields"),
    [
        (
            {"grant": "client_credentials", "client": CLIENT},
            {"grant_type": "client_credentials", "client_id": "me", "client_secret": "mine"},
        ),
        (
            {
                "grant": "password",
                "client": {**CLIENT, "authentication": "none"},
                "username": "u",
                "password": "p",
                "scopes": ["a", "b"],
                "audiences": ["x", "y"],
            },
            {
                "grant_type": "password",
                "client_id": "me",
                "username": "u",
                "password": "p",
                "scope": "a b",
                "audience": "x y",
            },
        ),
        (
            {
                "grant": "urn:ietf:params:oauth:grant-type:token-exchange",
                "client": {"id": "me"},
                "subject": {"token": "s", "type": "st"},
                "actor": {"token": "a", "type": "at"},
            },
            {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "client_id": "me",
                "subject_token": "s",
                "subject_token_type": "st",
                "actor_token": "a",
                "actor_token_type": "at",
            },
        ),
        (
            {
                "grant": "client_credentials",
                "client": {"authentication": "private_key_jwt", "assertion": "x.y.z"},
            },
            {
                "grant_type": "client_credentials",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": "x.y.z",
            },
        ),
    ],
)
def test_token_requests(
    server: Server, context: CallContext, properties: dict[str, Any], fields: dict[str, str]
) -> None:
    for encoding in (None, "application/json"):
        request = {"request": {"encoding": encoding}} if encoding else {}
        call(server, context, {"oauth2": {"authority": server.url, **properties, **request}})
    form, as_json = server.tokens
    assert form.headers["content-type"] == "application/x-www-form-urlencoded"
    assert form.form == fields
    assert as_json.headers["content-type"] == "application/json"
    assert as_json.json == fields


@pytest.mark.parametrize(
    ("scopes", "sent"),
    [(None, "openid"), (["a", "b"], "a b openid"), (["openid", "a"], "openid a")],
)
def test_oidc_asks_for_openid(
    server: Server, context: CallContext, scopes: list[str] | None, sent: str
) -> None:
    properties = {"authority": f"{server.url}/token", "grant": "client_credentials"}
    call(server, context, {"oidc": {**properties, **({"scopes": scopes} if scopes else {})}})
    assert server.tokens[0].form["scope"] == sent


def test_a_client_in_a_header(server: Server, context: CallContext) -> None:
    client = {"id": "m e", "secret": "a:b", "authentication": "client_secret_basic"}
    properties = {"authority": server.url, "grant": "client_credentials", "client": client}
    call(server, context, {"oauth2": properties})
    given = server.tokens[0].headers["authorization"].removeprefix("Basic ")
    assert base64.b64decode(given) == b"m%20e:a%3Ab"
    assert "client_secret" not in server.tokens[0].form


def test_a_client_that_signs(server: Server, context: CallContext) -> None:
    client = {**CLIENT, "authentication": "client_secret_jwt"}
    properties = {"authority": server.url, "grant": "client_credentials", "client": client}
    call(server, context, {"oauth2": properties})
    _, claims, signature = server.tokens[0].form["client_assertion"].split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert said["iss"] == said["sub"] == "me"
    assert said["aud"] == f"{server.url}/oauth2/token"
    assert signature


def test_a_token_is_asked_for_once(server: Server, evaluator: Evaluator) -> None:
    tokens = Tokens()
    policy = {"oauth2": {"authority": server.url, "grant": "client_credentials", "client": CLIENT}}
    for _ in range(3):
        context = CallContext(OUTBOUND, evaluator.evaluate, tokens=tokens)
        call(server, context, policy)
    assert len(server.tokens) == 1
    server.refuse = True
    with pytest.raises(WorkflowError):
        call(server, context, policy)
    server.refuse = False
    call(server, context, policy)
    assert len(server.tokens) == 2


def test_a_token_is_of_the_tenant_that_it_was_asked_for(
    server: Server, evaluator: Evaluator
) -> None:
    """One template stands for many endpoints: what it expands to is part of the question."""
    server.answer = lambda request: Answer(
        json={"access_token": f"of{request.path.replace('/', '-')}", "expires_in": 3600}
    )
    asked = {"grant": "client_credentials", "client": CLIENT}
    policies = [
        {"oauth2": {"authority": f"{server.url}/{{tenant}}", **asked}},
        {"oauth2": {"authority": server.url, "endpoints": {"token": "/t/{tenant}"}, **asked}},
        {"oidc": {"authority": f"{server.url}/{{tenant}}/token", **asked}},
    ]
    tokens = Tokens()
    for _ in range(2):
        for policy in policies:
            for tenant in ("a", "b"):
                context = CallContext(
                    OUTBOUND, evaluator.evaluate, input={"tenant": tenant}, tokens=tokens
                )
                call(server, context, policy)
    sent = [request.headers["authorization"].removeprefix("Bearer ") for request in server.calls]
    assert sent[:6] == sent[6:] == [
        "of-a-oauth2-token", "of-b-oauth2-token", "of-t-a", "of-t-b", "of-a-token", "of-b-token",
    ]  # fmt: skip
    assert len(server.tokens) == 6


def test_a_token_that_ends_soon_is_not_kept(server: Server, context: CallContext) -> None:
    server.answer = lambda request: Answer(json={"access_token": "x", "expires_in": 5})
    policy = {"oauth2": {"authority": server.url, "grant": "client_credentials", "client": CLIENT}}
    call(server, context, policy)
    call(server, context, policy)
    assert len(server.tokens) == 2


def test_a_token_of_a_listed_issuer(server: Server, context: CallContext) -> None:
    properties = {"authority": server.url, "grant": "client_credentials", "client": CLIENT}
    properties["issuers"] = [server.url]
    server.answer = lambda request: Answer(json={"access_token": jwt(iss=server.url)})
    call(server, context, {"oauth2": properties})
    server.answer = lambda request: Answer(json={"access_token": jwt(iss="http://evil")})
    with pytest.raises(WorkflowError) as caught:
        call(server, context, {"oauth2": {**properties, "scopes": ["other"]}})
    assert caught.value.type.endswith("/authentication")


@pytest.mark.parametrize(
    ("answer", "kind", "status"),
    [
        (Answer(400, json={"error": "invalid_client"}), "authentication", 401),
        (Answer(500), "authentication", 401),
        (Answer(json={}), "authentication", 401),
        (Answer(body=b"{", headers={"Content-Type": "application/json"}), "communication", 502),
    ],
)
def test_no_token(
    server: Server, context: CallContext, answer: Answer, kind: str, status: int
) -> None:
    server.answer = lambda request: answer
    policy = {"oauth2": {"authority": server.url, "grant": "client_credentials", "client": CLIENT}}
    with pytest.raises(WorkflowError) as caught:
        call(server, context, policy)
    assert caught.value.type.endswith(f"/{kind}")
    assert caught.value.status == status
    assert "mine" not in str(caught.value.to_json())
    assert not server.calls


@pytest.mark.parametrize(
    "properties",
    [
        {"grant": "client_credentials"},
        {"authority": "http://localhost", "grant": "authorization_code"},
        {"authority": "http://localhost", "grant": None},
        {"authority": "http://localhost", "grant": "client_credentials", "client": "me"},
        {
            "authority": "http://localhost",
            "grant": "urn:ietf:params:oauth:grant-type:token-exchange",
        },
    ],
)
def test_policies_that_are_none(
    server: Server, context: CallContext, properties: dict[str, Any]
) -> None:
    with pytest.raises(WorkflowError) as caught:
        call(server, context, {"oauth2": properties})
    assert caught.value.type.endswith("/configuration")
