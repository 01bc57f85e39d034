"""`call: openapi` against documents and servers of both generations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from ruamel.yaml import YAML

from orchestrator.calls import CallContext, perform
from orchestrator.errors import WorkflowError
from orchestrator.expressions import Evaluator
from orchestrator.outbound import OutboundClient
from tests.support.http_stub import CA, Answer, Request, Stub

LOCAL = ("127.0.0.0/8", "::1/128")

SWAGGER: dict[str, Any] = {
    "swagger": "2.0",
    "basePath": "/v2",
    "schemes": ["https", "http"],
    "parameters": {"tenant": {"name": "X-Tenant", "in": "header", "type": "string"}},
    "paths": {
        "/pet/findByStatus": {
            "get": {
                "operationId": "findPetsByStatus",
                "parameters": [
                    {
                        "name": "status",
                        "in": "query",
                        "type": "array",
                        "items": {"type": "string"},
                        "required": True,
                        "collectionFormat": "multi",
                    },
                    {"name": "tags", "in": "query", "type": "array", "collectionFormat": "pipes"},
                    {"name": "plain", "in": "query", "type": "array"},
                    {"$ref": "#/parameters/tenant"},
                ],
            }
        },
        "/pet/{petId}": {
            "parameters": [{"name": "petId", "in": "path", "type": "integer", "required": True}],
            "get": {"operationId": "getPetById"},
            "post": {
                "operationId": "updateForm",
                "consumes": ["application/x-www-form-urlencoded"],
                "parameters": [
                    {"name": "name", "in": "formData", "type": "string"},
                    {"name": "status", "in": "formData", "type": "string"},
                ],
            },
        },
        "/pet": {
            "post": {
                "operationId": "addPet",
                "consumes": ["application/xml", "application/json"],
                "parameters": [{"name": "body", "in": "body", "required": True}],
            }
        },
    },
}

OPENAPI: dict[str, Any] = {
    "openapi": "3.0.3",
    "servers": [{"url": "/api/{version}", "variables": {"version": {"default": "v1"}}}],
    "components": {
        "parameters": {"lang": {"name": "lang", "in": "query", "schema": {"type": "string"}}},
        "requestBodies": {
            "Project": {
                "required": True,
                "content": {
                    "application/xml": {},
                    "application/json": {"schema": {"$ref": "#/components/schemas/Project"}},
                },
            }
        },
        "schemas": {"Project": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
    "paths": {
        "/users/{userId}": {
            "get": {
                "operationId": "getUserById",
                "parameters": [
                    {"name": "userId", "in": "path", "required": True, "schema": {}},
                    {"name": "fields[]", "in": "query", "schema": {"type": "array"}},
                    {"name": "fields", "in": "query", "explode": False, "schema": {}},
                    {"name": "space", "in": "query", "style": "spaceDelimited", "explode": False},
                    {"name": "deep", "in": "query", "style": "deepObject", "schema": {}},
                    {"name": "free", "in": "query", "schema": {}},
                    {"name": "filter", "in": "query", "content": {"application/json": {}}},
                    {"name": "limit", "in": "query", "required": True, "schema": {"default": 20}},
                    {"name": "session", "in": "cookie", "schema": {}},
                    {"name": "X-Ids", "in": "header", "schema": {}},
                    {"$ref": "#/components/parameters/lang"},
                ],
            }
        },
        "/projects": {
            "post": {
                "operationId": "addProject",
                "parameters": [
                    {"name": "notifyMembers", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "Authorization", "in": "header", "schema": {}},
                ],
                "requestBody": {"$ref": "#/components/requestBodies/Project"},
            }
        },
        "/styles/{simple}/{label}/{matrix}": {
            "get": {
                "operationId": "styles",
                "parameters": [
                    {"name": "simple", "in": "path", "required": True, "schema": {}},
                    {"name": "label", "in": "path", "style": "label", "schema": {}},
                    {"name": "matrix", "in": "path", "style": "matrix", "schema": {}},
                ],
            }
        },
        "/upload": {
            "post": {
                "operationId": "upload",
                "requestBody": {"content": {"multipart/form-data": {}}},
            }
        },
        "/elsewhere": {
            "servers": [{"url": "http://localhost:1/own"}],
            "get": {"operationId": "elsewhere"},
        },
        "/circle": {"get": {"operationId": "circle", "parameters": [{"$ref": "#/x-circle"}]}},
        "/away": {"get": {"operationId": "away", "parameters": [{"$ref": "other.yaml#/x"}]}},
    },
    "x-circle": {"$ref": "#/x-circle"},
}


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    evaluator = Evaluator()
    yield evaluator
    evaluator.close()


class Api:
    """Serves the documents, and says of every other request that it arrived."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.stub = Stub(self.handle)
        self.calls: list[Request] = []
        self.status = 200

    def handle(self, request: Request) -> Answer:
        documents = {"/swagger.json": SWAGGER, "/openapi.json": OPENAPI}
        if request.path in documents:
            return Answer(json=documents[request.path])
        if request.path == "/openapi.yaml":
            text = StringIO()
            YAML(typ="safe", pure=True).dump(json.loads(json.dumps(OPENAPI)), text)
            return Answer(body=text.getvalue().encode(), headers={"Content-Type": "text/yaml"})
        if request.path.startswith("/broken"):
            bodies = {
                "/broken/1": b"{",
                "/broken/2": b"a: [",
                "/broken/3": b"{}",
                "/broken/4": b"x",
            }
            bodies["/broken/5"] = b'{"openapi": "4.0", "paths": {}}'
            return Answer(body=bodies[request.path])
        self.calls.append(request)
        return Answer(self.status, json={"ok": True})

    def call(self, document: str, operation: str, parameters: Any = None, **more: Any) -> Any:
        context = CallContext(OutboundClient(allow=LOCAL), self.evaluator.evaluate)
        arguments = {
            "document": {"endpoint": f"{self.stub.url}{document}"},
            "operationId": operation,
            **({"parameters": parameters} if parameters is not None else {}),
            **more,
        }
        return perform({"kind": "openapi", "with": arguments}, context)

    def error(self, document: str, operation: str, parameters: Any = None, **more: Any) -> Any:
        with pytest.raises(WorkflowError) as caught:
            self.call(document, operation, parameters, **more)
        return caught.value.type.rpartition("/")[2], caught.value.status


@pytest.fixture
def api(evaluator: Evaluator) -> Iterator[Api]:
    api = Api(evaluator)
    with api.stub:
        yield api


def test_swagger_2(api: Api) -> None:
    assert api.call("/swagger.json", "getPetById", {"petId": 1}) == {"ok": True}
    api.call(
        "/swagger.json",
        "findPetsByStatus",
        {"status": ["a", "b"], "tags": ["x", "y"], "plain": [1, 2], "X-Tenant": "t"},
    )
    api.call("/swagger.json", "findPetsByStatus", {"status": "available"})
    api.call("/swagger.json", "updateForm", {"petId": 2, "name": "Milou é", "status": "sold"})
    api.call("/swagger.json", "addPet", {"body": {"name": "rex"}})
    api.call("/swagger.json", "addPet", {"name": "rex"})
    first, second, third, form, whole, parts = api.calls
    assert (first.method, first.path) == ("GET", "/v2/pet/1")
    assert second.query == (("status", "a"), ("status", "b"), ("tags", "x|y"), ("plain", "1,2"))
    assert second.headers["x-tenant"] == "t"
    assert third.query == (("status", "available"),)
    assert (form.method, form.path) == ("POST", "/v2/pet/2")
    assert form.form == {"name": "Milou é", "status": "sold"}
    assert whole.json == parts.json == {"name": "rex"}
    assert whole.headers["content-type"] == "application/json"


@pytest.mark.parametrize("document", ["/openapi.json", "/openapi.yaml"])
def test_openapi_3(api: Api, document: str) -> None:
    api.call(
        document,
        "getUserById",
        {
            "userId": 40099,
            "fields[]": ["id", "name"],
            "fields": ["id", "name"],
            "space": ["a", "b"],
            "deep": {"a": 1, "b": "x"},
            "free": {"k": "v"},
            "filter": {"a": [1]},
            "session": "s-1",
            "X-Ids": [1, 2],
            "lang": None,
            "undeclared": "goes nowhere",
        },
    )
    request = api.calls[0]
    assert (request.method, request.path) == ("GET", "/api/v1/users/40099")
    assert request.query == (
        ("fields[]", "id"),
        ("fields[]", "name"),
        ("fields", "id,name"),
        ("space", "a b"),
        ("deep[a]", "1"),
        ("deep[b]", "x"),
        ("k", "v"),
        ("filter", '{"a":[1]}'),
        ("limit", "20"),
    )
    assert request.headers["cookie"] == "session=s-1"
    assert request.headers["x-ids"] == "1,2"
    assert request.body == b""


def test_what_no_parameter_takes_is_the_body(api: Api) -> None:
    api.call(
        "/openapi.json",
        "addProject",
        {
            "name": "CRM",
            "members": [1, 2],
            "notifyMembers": True,
            "Authorization": "Bearer given",
        },
    )
    request = api.calls[0]
    assert request.json == {"name": "CRM", "members": [1, 2]}
    assert request.query == (("notifyMembers", "true"),)
    assert request.headers["authorization"] == "Bearer given"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (5, "5/.5/;matrix=5"),
        ("a/b", "a%2Fb/.a%2Fb/;matrix=a%2Fb"),
        ([3, 4], "3,4/.3,4/;matrix=3,4"),
        ({"a": 1, "b": 2}, "a,1,b,2/.a,1,b,2/;matrix=a,1,b,2"),
    ],
)
def test_styles_in_a_path(api: Api, value: Any, path: str) -> None:
    api.call("/openapi.json", "styles", dict.fromkeys(("simple", "label", "matrix"), value))
    assert api.calls[0].path == f"/api/v1/styles/{path}"


def test_a_form_of_parts(api: Api) -> None:
    api.call("/openapi.json", "upload", {"a": "1", "b": "é"})
    request = api.calls[0]
    kind, _, boundary = request.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    assert request.body.count(boundary.encode()) == 3
    assert 'name="b"\r\n\r\né\r\n'.encode() in request.body


def test_authentication_output_and_redirect(api: Api) -> None:
    policy = {"basic": {"username": "u", "password": "p"}}
    response = api.call(
        "/openapi.json", "getUserById", {"userId": 1}, authentication=policy, output="response"
    )
    assert api.calls[0].headers["authorization"] == "Basic dTpw"
    assert response["request"]["uri"].endswith("/api/v1/users/1?limit=20")
    assert response["request"]["method"] == "get"
    assert (response["statusCode"], response["content"]) == (200, {"ok": True})
    api.status = 304
    assert api.error("/openapi.json", "getUserById", {"userId": 1}) == ("communication", 304)
    assert api.call("/openapi.json", "getUserById", {"userId": 1}, redirect=True) is None


@pytest.mark.parametrize(
    ("document", "operation", "parameters", "error"),
    [
        ("/missing.json/404", "x", {}, None),
        ("/broken/1", "x", {}, ("configuration", 400)),
        ("/broken/2", "x", {}, ("configuration", 400)),
        ("/broken/3", "x", {}, ("configuration", 400)),
        ("/broken/4", "x", {}, ("configuration", 400)),
        ("/broken/5", "x", {}, ("configuration", 400)),
        ("/openapi.json", "nobody", {}, ("configuration", 400)),
        ("/openapi.json", "circle", {}, ("configuration", 400)),
        ("/openapi.json", "away", {}, ("configuration", 400)),
        ("/openapi.json", None, {}, ("validation", 400)),
        ("/openapi.json", "getUserById", {}, ("validation", 400)),
        ("/openapi.json", "getUserById", {"userId": None}, ("validation", 400)),
        ("/openapi.json", "getUserById", [1], ("validation", 400)),
        ("/openapi.json", "addProject", {}, ("validation", 400)),
        ("/openapi.json", "elsewhere", {}, ("communication", 503)),
    ],
)
def test_errors(api: Api, document: str, operation: Any, parameters: Any, error: Any) -> None:
    if error is None:
        api.status, error = 404, ("communication", 404)
    assert api.error(document, operation, parameters) == error


def test_the_conformance_kit_s_way(evaluator: Evaluator) -> None:
    """A document at a public name, mapped to a server of our own, without a host in it."""

    def handle(request: Request) -> Answer:
        if request.path == "/v2/swagger.json":
            return Answer(json={**SWAGGER, "host": "petstore.swagger.io"})
        return Answer(json=[{"id": 1}])

    with Stub(handle, tls=True) as stub:
        outbound = OutboundClient(allow=[f"petstore.swagger.io:443:127.0.0.1:{stub.port}"], ca=CA)
        context = CallContext(outbound, evaluator.evaluate)
        arguments = {
            "document": {"endpoint": "https://petstore.swagger.io/v2/swagger.json"},
            "operationId": "findPetsByStatus",
            "parameters": {"status": "available"},
        }
        for _ in range(2):
            assert perform({"kind": "openapi", "with": arguments}, context) == [{"id": 1}]
        paths = [request.path for request in stub.requests]
    assert paths == ["/v2/swagger.json", "/v2/pet/findByStatus", "/v2/pet/findByStatus"]


def test_a_parameter_made_with_secrets_stays_with_its_origin(evaluator: Evaluator) -> None:
    def secret(name: str) -> Any:
        return f"s3cret-{name}"

    with Stub(lambda request: Answer(json={})) as other:

        def handle(request: Request) -> Answer:
            if request.path == "/openapi.json":
                return Answer(json=OPENAPI)
            return Answer(307, headers={"Location": other.url})

        with Stub(handle) as stub:
            context = CallContext(
                OutboundClient(allow=LOCAL), evaluator.evaluate, secret_names=("a",), secret=secret
            )
            given = {
                "document": {"endpoint": f"{stub.url}/openapi.json"},
                "operationId": "getUserById",
                "parameters": {"userId": 1, "X-Ids": "${ $secrets.a }"},
                "redirect": True,
            }
            perform({"kind": "openapi", "deferred": True, "with": given}, context)
            assert stub.requests[-1].headers["x-ids"] == "s3cret-a"
            assert "x-ids" not in other.requests[0].headers
            given |= {"operationId": "addProject", "parameters": {"name": "${ $secrets.a }"}}
            with pytest.raises(WorkflowError, match="body made with secrets"):
                perform({"kind": "openapi", "deferred": True, "with": given}, context)
