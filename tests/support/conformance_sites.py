"""The hosts that the specification's kit and examples call, played by one server.

Names resolve to it by `ORCHESTRATOR_OUTBOUND_ALLOW`, and its certificate is trusted by
`ORCHESTRATOR_OUTBOUND_CA`, so that the documents run unmodified and touch no network.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.http_stub import Answer, Request, Stub

TLS = Path(__file__).parent / "conformance_tls"
CA = str(TLS / "ca.pem")

#: What the certificate is for.
HOSTS = (
    *("example.com", "external-service.example.com", "fake-chat-api.com", "fake-hospital.com"),
    *("fake.com", "fake.log.collector.com", "fake.smtp.service.com", "hospital.example.com"),
    *("httpbin.org", "keycloak", "mocked.service.com", "my.home.com", "myorg.io"),
    *("petstore.swagger.io", "petstore3.swagger.io", "raw.githubusercontent.com"),
    *("superbet-casinos.com", "swapi.dev", "virtual-wf-powered-race.com"),
)

TOKEN = "a-token-of-keycloak"
_PETS = [{"id": number, "name": f"pet {number}", "status": "available"} for number in (1, 2, 3, 69)]


class Sites:
    """Use it as a context manager; `requests` holds what arrived, with each host's name."""

    def __init__(self) -> None:
        self._stubs = ExitStack()
        self.tls = Stub(self._answer, tls=True, chain=TLS / "server.pem")
        self.plain = Stub(self._answer)

    def __enter__(self) -> Self:
        self._stubs.enter_context(self.tls)
        self._stubs.enter_context(self.plain)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stubs.close()

    @property
    def resolve(self) -> list[str]:
        """Every host at both ports of ours."""
        return [
            f"{host}:{port}:127.0.0.1:{stub.port}"
            for host in HOSTS
            for port, stub in ((443, self.tls), (80, self.plain))
        ]

    def requests(self, host: str) -> list[Request]:
        """What was asked of a host, in order."""
        return [each for each in (*self.tls.requests, *self.plain.requests) if _host(each) == host]

    def _answer(self, request: Request) -> Answer:
        for host, method, path, answer in _ROUTES:
            match = re.fullmatch(path, request.path)
            if match and host in ("*", _host(request)) and method in ("*", request.method):
                return answer(request, *match.groups())
        return Answer(404, {"message": "not found"})


def _host(request: Request) -> str:
    return request.headers.get("host", "").partition(":")[0]


def _query(request: Request) -> dict[str, str]:
    return dict(request.query)


def _pet(request: Request, number: str) -> Answer:
    found = [pet for pet in _PETS if pet["id"] == int(number)]
    return Answer(200, found[0]) if found else Answer(404, {"message": "Pet not found"})


def _pets(request: Request) -> Answer:
    wanted = _query(request).get("status")
    return Answer(200, [pet for pet in _PETS if pet["status"] == wanted])


def _sold(request: Request, number: str) -> Answer:
    return Answer(200, request.json)


def _basic(request: Request, user: str, password: str) -> Answer:
    right = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    if request.headers.get("authorization") != right:
        return Answer(401, None, {"WWW-Authenticate": 'Basic realm="Fake Realm"'})
    return Answer(200, {"authenticated": True, "user": user})


def _people(request: Request) -> Answer:
    return Answer(200, {"count": 1, "results": [{"name": _query(request)["search"]}]})


def _token(request: Request) -> Answer:
    if request.form.get("grant_type") != "client_credentials":
        return Answer(400, {"error": "unsupported_grant_type"})
    return Answer(200, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300})


def _discovery(request: Request) -> Answer:
    base = "http://keycloak/realms/fake-authority"
    return Answer(200, {"issuer": base, "token_endpoint": f"{base}/auth/token"})


def _accepts(value: Any) -> Callable[..., Answer]:
    return lambda request, *parts: Answer(200, value)


def _operation(
    name: str, path: str, method: str = "get", parameter: dict[str, Any] | None = None
) -> tuple[str, dict[str, Any]]:
    answers = {"200": {"description": "it is done"}}
    parameters = [{"required": True, **parameter}] if parameter else []
    return path, {method: {"operationId": name, "parameters": parameters, "responses": answers}}


_STATUS = {"name": "status", "in": "query", "type": "array", "items": {"type": "string"}}
_PET_ID = {"name": "petId", "in": "path", "type": "integer"}

_PETSTORE = {
    "swagger": "2.0",
    "info": {"title": "Pets", "version": "1.0.7"},
    "host": "petstore.swagger.io",
    "basePath": "/v2",
    "schemes": ["https", "http"],
    "paths": dict(
        [
            _operation(
                "findPetsByStatus",
                "/pet/findByStatus",
                parameter={**_STATUS, "collectionFormat": "multi"},
            ),
            _operation("getPetById", "/pet/{petId}", parameter=_PET_ID),
        ]
    ),
}
_ORDERS = {
    "openapi": "3.0.3",
    "info": {"title": "Readings", "version": "1"},
    "servers": [{"url": "http://myorg.io/api"}],
    "paths": dict(
        [
            _operation("logreading", "/readings", "post"),
            _operation("produceReport", "/report", "post"),
        ]
    ),
}

_ROUTES: tuple[tuple[str, str, str, Callable[..., Answer]], ...] = (
    ("petstore.swagger.io", "GET", "/v2/swagger.json", _accepts(_PETSTORE)),
    ("petstore.swagger.io", "GET", "/v2/pet/findByStatus", _pets),
    ("petstore.swagger.io", "GET", r"/v2/pet/(\d+)", _pet),
    ("petstore.swagger.io", "PUT", r"/v2/pet/(\d*)", _sold),
    ("httpbin.org", "GET", "/basic-auth/([^/]+)/([^/]+)", _basic),
    (
        "swapi.dev",
        "GET",
        r"/api/people/\d+",
        _accepts({"homeworld": "https://swapi.dev/api/planets/1/"}),
    ),
    ("swapi.dev", "GET", "/api/planets/1/", _accepts({"name": "Tatooine"})),
    ("swapi.dev", "GET", "/api/people/", _people),
    ("keycloak", "GET", "/realms/fake-authority/.well-known/openid-configuration", _discovery),
    ("keycloak", "POST", "/realms/fake-authority/auth/token", _token),
    ("myorg.io", "GET", "/ordersservices.json", _accepts(_ORDERS)),
    ("myorg.io", "POST", "/api/readings", _accepts({"logged": True})),
    ("myorg.io", "POST", "/api/report", _accepts({"report": True})),
    ("external-service.example.com", "GET", "/api", lambda request: Answer(503, {"busy": True})),
    ("petstore.swagger.io", "*", ".*", lambda request: Answer(404, {"message": "no such pet"})),
    ("fake.com", "GET", "/sample", _accepts({"sample": True})),
    ("*", "POST", ".*", _accepts({"ok": True})),
    ("*", "PUT", ".*", _accepts({"ok": True})),
)
