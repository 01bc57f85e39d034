"""`call: http` against a server that answers as told."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from orchestrator.calls import CallContext, perform
from orchestrator.calls.http_content import failed_data
from orchestrator.errors import WorkflowError
from orchestrator.expressions import Evaluator
from orchestrator.outbound import OutboundClient, Response
from tests.support.http_stub import CA, Answer, Request, Stub

LOCAL = ("127.0.0.0/8", "::1/128")
OUTBOUND = OutboundClient(allow=LOCAL, timeout=5)


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    evaluator = Evaluator()
    yield evaluator
    evaluator.close()


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub(lambda request: Answer(json={"ok": True})) as stub:
        yield stub


@pytest.fixture
def context(evaluator: Evaluator) -> CallContext:
    return CallContext(OUTBOUND, evaluator.evaluate, input={"petId": 7, "a b": "x/y é", "n": None})


def call(context: CallContext, **arguments: Any) -> Any:
    return perform({"kind": "http", "with": {"method": "get", **arguments}}, context)


def error_of(context: CallContext, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(WorkflowError) as caught:
        call(context, **arguments)
    return caught.value.to_json()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/pet/{petId}", "/pet/7"),
        ("/{a b}", "/x%2Fy%20%C3%A9"),
        ("/a{n}/{missing}/end", "/a//end"),
        ("/{pet.id}", "/"),
        ("/plain", "/plain"),
    ],
)
def test_uri_templates(stub: Stub, context: CallContext, path: str, expected: str) -> None:
    call(context, endpoint=f"{stub.url}{path}")
    call(context, endpoint={"uri": f"{stub.url}{path}"})
    assert [request.path for request in stub.requests] == [expected] * 2


@pytest.mark.parametrize(
    "variable", ["+path", "?q", "#f", ".x", "/p", ";m", "&n", "a,b", "a*", "a:3", "=v", "|v", "!v"]
)
def test_operators_of_uri_templates_call_no_wrong_url(
    stub: Stub, context: CallContext, variable: str
) -> None:
    for template in (f"/x/{{{variable}}}", f"/{{petId}}/${{{variable}}}"):
        error = error_of(context, endpoint=f"{stub.url}{template}")
        assert error["type"].endswith("/expression")
        assert f"{{{variable}}}" in error["detail"]
    assert not stub.requests


def test_a_uri_takes_scalars_only(stub: Stub, evaluator: Evaluator) -> None:
    context = CallContext(OUTBOUND, evaluator.evaluate, input={"pet": {"id": 1}})
    error = error_of(context, endpoint=f"{stub.url}/{{pet}}")
    assert (error["type"].rpartition("/")[2], error["status"]) == ("expression", 400)
    assert not stub.requests


def test_what_is_sent(stub: Stub, context: CallContext) -> None:
    call(
        context,
        method="post",
        endpoint=f"{stub.url}/x?a=1",
        headers={"X-Number": 5, "X-Flag": True, "X-None": None, "X-List": ["a", "b"]},
        query={"b": "2 3", "list": [1, 2], "none": None, "flag": False, "object": {"k": 1}},
        body={"order": [1, None]},
    )
    request = stub.requests[0]
    assert request.method == "POST"
    assert request.json == {"order": [1, None]}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-number"] == "5"
    assert request.headers["x-flag"] == "true"
    assert "x-none" not in request.headers
    assert request.query == (
        ("a", "1"),
        ("b", "2 3"),
        ("list", "1"),
        ("list", "2"),
        ("flag", "false"),
        ("object", '{"k":1}'),
    )


@pytest.mark.parametrize(
    ("body", "declared", "sent", "media"),
    [
        ({"a": 1}, None, b'{"a":1}', "application/json"),
        ([1], "application/vnd.x+json", b"[1]", "application/vnd.x+json"),
        (0, None, b"0", "application/json"),
        ("text", None, b"text", "text/plain; charset=utf-8"),
        ('{"a": 1}', "application/json", b'{"a": 1}', "application/json"),
        (
            {"a": "1 2", "b": [3, 4]},
            "application/x-www-form-urlencoded",
            b"a=1+2&b=3&b=4",
            "application/x-www-form-urlencoded",
        ),
        (None, None, b"", None),
    ],
)
def test_bodies(
    stub: Stub, context: CallContext, body: Any, declared: str | None, sent: bytes, media: str
) -> None:
    headers = {"content-type": declared} if declared else {}
    call(context, method="put", endpoint=stub.url, headers=headers, body=body)
    assert stub.requests[0].body == sent
    assert stub.requests[0].headers.get("content-type") == media


@pytest.mark.parametrize(
    ("media", "body", "content"),
    [
        ("application/json", b'{"a": 1}', {"a": 1}),
        ("application/problem+json; charset=utf-8", b"[1]", [1]),
        ("application/json", b"", None),
        ("application/json", b'\xef\xbb\xbf{"a": "\xc3\xa9"}', {"a": "é"}),
        ("application/json", '{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        ("application/json", b"\xfe\xff" + '{"a": 1}'.encode("utf-16-be"), {"a": 1}),
        ("application/json", '{"a": 1}'.encode("utf-32"), {"a": 1}),
        ("", b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ("text/plain", b"\xc3\xa9", "é"),
        ("text/html; charset=iso-8859-1", b"\xe9", "é"),
        ("text/plain; charset=nonsense", b"a", "a"),
        ("application/xml", b"<a/>", "<a/>"),
        ("application/octet-stream", b"\xff\x00", "/wA="),
        ("image/png", b"ab", "YWI="),
        ("", b'{"a": 1}', {"a": 1}),
        ("", b"hello", "hello"),
        ("", b"\xff", "/w=="),
    ],
)
def test_contents(context: CallContext, media: str, body: bytes, content: Any) -> None:
    headers = {"Content-Type": media} if media else {}
    with Stub(lambda request: Answer(body=body, headers=headers)) as stub:
        assert call(context, endpoint=stub.url) == content
        raw = call(context, endpoint=stub.url, output="raw")
        assert base64.b64decode(raw) == body


def test_the_whole_response(context: CallContext) -> None:
    with Stub(lambda request: Answer(201, json=[1], headers={"X-A": "1"})) as stub:
        response = call(
            context,
            method="Post",
            endpoint={
                "uri": f"{stub.url}/pet/{{petId}}",
                "authentication": {"basic": {"username": "u", "password": "p"}},
            },
            query={"q": "1"},
            headers={"X-Mine": "2"},
            output="response",
        )
    assert stub.requests[0].headers["authorization"] == "Basic dTpw"
    assert response["statusCode"] == 201
    assert response["content"] == [1]
    assert response["headers"]["X-A"] == "1"
    assert response["request"]["method"] == "Post"
    assert response["request"]["uri"] == f"{stub.url}/pet/7?q=1"
    assert response["request"]["headers"]["X-Mine"] == "2"
    assert "Authorization" not in response["request"]["headers"]


@pytest.mark.parametrize("method", ["head", "options", "delete", "patch", "REPORT"])
def test_every_method(stub: Stub, context: CallContext, method: str) -> None:
    call(context, method=method, endpoint=stub.url)
    assert stub.requests[0].method == method.upper()


@pytest.mark.parametrize("status", [300, 304, 400, 401, 404, 418, 500, 503, 599])
def test_a_failure_has_the_status_of_its_response(context: CallContext, status: int) -> None:
    with Stub(lambda request: Answer(status, json={"message": "no"})) as stub:
        error = error_of(context, endpoint=f"{stub.url}/x?token=hidden")
    assert error["type"] == "https://serverlessworkflow.io/spec/1.0.0/errors/communication"
    assert error["status"] == status
    assert error["title"]
    assert f"/x answered {status}" in error["detail"]
    assert "hidden" not in error["detail"]


def test_a_failed_response_is_data_of_the_error(context: CallContext) -> None:
    headers = {"Retry-After": "7", "X-Reason": "busy", "Set-Cookie": "session=1"}
    with Stub(lambda request: Answer(429, json={"wait": [1, None]}, headers=headers)) as stub:
        data = error_of(context, endpoint=stub.url)["data"]
    assert data["statusCode"] == 429
    assert data["content"] == {"wait": [1, None]}
    assert data["retryAfter"] == 7
    assert data["headers"]["X-Reason"] == "busy"
    assert data["headers"]["Retry-After"] == "7"
    assert "Set-Cookie" not in data["headers"]


@pytest.mark.parametrize(
    ("said", "date", "seconds"),
    [
        ("0", None, 0),
        ("Sun, 06 Nov 1994 08:49:47 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", 10),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:47 GMT", 0),
        ("soon", "Sun, 06 Nov 1994 08:49:47 GMT", None),
        ("-5", None, None),
        ("9" * 40, None, None),
        ("\u0667", None, None),
        (None, None, None),
    ],
)
def test_retry_after(said: str | None, date: str | None, seconds: int | None) -> None:
    pairs = [("Retry-After", said), ("Date", date)]
    headers = tuple((name, value) for name, value in pairs if value is not None)
    response = Response(503, headers, b"", "GET", "https://example.com", ())
    assert failed_data(response).get("retryAfter") == seconds


def test_of_a_long_answer_of_failure_only_the_rest_is_kept(context: CallContext) -> None:
    headers = {"Retry-After": "1", "X-Long": "h" * 9000, "X-Short": "s"}
    with Stub(lambda request: Answer(500, json=["x" * 17_000], headers=headers)) as stub:
        data = error_of(context, endpoint=stub.url)["data"]
    assert (data["content"], data["truncated"], data["retryAfter"]) == (None, True, 1)
    assert "X-Long" not in data["headers"]


def test_broken_json_of_a_service_that_fails_is_text(context: CallContext) -> None:
    answer = Answer(500, body=b"<oops>", headers={"Content-Type": "application/json"})
    with Stub(lambda request: answer) as stub:
        error = error_of(context, endpoint=stub.url)
    assert (error["status"], error["data"]["content"]) == (500, "<oops>")


def answered(answer: Answer, _: Request) -> Answer:
    return answer


def redirecting(request: Request) -> Answer:
    if request.path == "/final":
        return Answer(json={"result": request.method})
    return Answer(302, headers={"Location": "/final"}, json={"redirect": "to_final"})


def test_a_redirect_is_an_error_unless_asked_for(context: CallContext) -> None:
    with Stub(redirecting) as stub:
        for arguments in ({}, {"redirect": False}, {"redirect": False, "output": "response"}):
            error = error_of(context, endpoint=stub.url, **arguments)
            assert (error["type"].rpartition("/")[2], error["status"]) == ("communication", 302)
        assert [request.path for request in stub.requests] == ["/", "/", "/"]
        assert call(context, endpoint=stub.url, redirect=True) == {"result": "GET"}


def test_a_redirect_that_leads_nowhere_is_a_success_when_asked_for(context: CallContext) -> None:
    with Stub(lambda request: Answer(304)) as stub:
        response = call(context, endpoint=stub.url, redirect=True, output="response")
    assert response["statusCode"] == 304


@pytest.mark.parametrize(
    ("arguments", "kind", "status"),
    [
        ({"endpoint": "http://169.254.169.254/"}, "authorization", 403),
        ({"endpoint": "http://10.0.0.1/"}, "authorization", 403),
        ({"endpoint": "file:///etc/passwd"}, "authorization", 403),
        ({"endpoint": "http://u:p@localhost/"}, "authorization", 403),
        ({"endpoint": "{base}/a"}, "communication", 503),
        ({"endpoint": "https://"}, "communication", 503),
        ({"endpoint": "/pets"}, "communication", 503),
        ({"endpoint": "example.com:80/pets"}, "communication", 503),
        ({"endpoint": "http://[::1/"}, "validation", 400),
        ({"endpoint": 5}, "validation", 400),
        ({"endpoint": None}, "validation", 400),
        ({"endpoint": "http://localhost/", "headers": {"X": "a\r\nY: b"}}, "validation", 400),
        ({"endpoint": "http://localhost/", "headers": "X: a"}, "validation", 400),
        ({"endpoint": "http://localhost/", "query": 5}, "validation", 400),
        ({"endpoint": "http://localhost/", "method": "CONNECT"}, "validation", 400),
        ({"endpoint": "http://localhost/", "method": None}, "validation", 400),
    ],
)
def test_requests_that_are_not_made(
    context: CallContext,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    kind: str,
    status: int,
) -> None:
    def refuse(self: socket.socket, address: Any) -> None:
        raise AssertionError(f"connected to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    error = error_of(context, **arguments)
    assert (error["type"].rpartition("/")[2], error["status"]) == (kind, status)


def test_nobody_there(context: CallContext) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        error = error_of(context, endpoint=f"http://127.0.0.1:{free.getsockname()[1]}/")
    assert (error["type"].rpartition("/")[2], error["status"]) == ("communication", 503)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer(body=b"{", headers={"Content-Type": "application/json"}), 502),
        (Answer(raw=lambda stream: stream.write(b"nonsense\r\n\r\n")), 503),
        (Answer(raw=lambda stream: None), 503),
        (Answer(body=b"x" * 100_000), 502),
        (Answer(302, headers={"Location": "/"}), 502),
    ],
)
def test_an_answer_that_makes_no_sense(evaluator: Evaluator, answer: Answer, status: int) -> None:
    outbound = OutboundClient(allow=LOCAL, max_bytes=50_000)
    with Stub(lambda request: answer) as stub:
        context = CallContext(outbound, evaluator.evaluate)
        error = error_of(context, endpoint=stub.url, redirect=True)
    assert (error["type"].rpartition("/")[2], error["status"]) == ("communication", status)


def test_no_answer_in_time(evaluator: Evaluator) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        context = CallContext(OUTBOUND, evaluator.evaluate, timeout=0.2)
        error = error_of(context, endpoint=f"http://127.0.0.1:{deaf.getsockname()[1]}/")
    assert (error["type"].rpartition("/")[2], error["status"]) == ("timeout", 408)


def test_over_tls_with_a_mapped_name(evaluator: Evaluator) -> None:
    with Stub(lambda request: Answer(json={"id": 1}), tls=True) as stub:
        outbound = OutboundClient(allow=[f"petstore.swagger.io:443:127.0.0.1:{stub.port}"], ca=CA)
        context = CallContext(outbound, evaluator.evaluate, input={"petId": 1})
        found = call(context, endpoint="https://petstore.swagger.io/v2/pet/{petId}")
    assert found == {"id": 1}
    assert stub.requests[0].path == "/v2/pet/1"


def test_an_unknown_kind(context: CallContext) -> None:
    with pytest.raises(WorkflowError) as caught:
        perform({"kind": "grpc", "with": {}}, context)
    assert caught.value.type.endswith("/configuration")


# Authentication


def challenged(request: Request) -> Answer:
    given = request.headers.get("authorization")
    if given is None:
        challenge = 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'
        return Answer(401, headers={"WWW-Authenticate": challenge})
    return Answer(json=given)


@pytest.mark.parametrize(
    ("policy", "sent"),
    [
        ({"basic": {"username": "u", "password": 123}}, "Basic dToxMjM="),
        ({"bearer": {"token": "t-1"}}, "Bearer t-1"),
        ({"bearer": "t-1"}, "Bearer t-1"),
        ({"use": "named"}, "Bearer named-7"),
        ({"basic": {"use": "login"}}, "Basic YWRtaW46c2VjcmV0LXdvcmQ="),
        ({"bearer": {"use": "token"}}, "Bearer secret-token"),
        ({"use": "fromSecret"}, "Bearer secret-token"),
    ],
)
def test_authentications(evaluator: Evaluator, policy: Any, sent: str) -> None:
    secrets = {
        "login": {"username": "admin", "password": "secret-word"},
        "token": {"token": "secret-token"},
    }
    context = CallContext(
        OUTBOUND,
        evaluator.evaluate,
        input={"id": 7},
        authentications={
            "named": {"bearer": {"token": '${ "named-\\(.id)" }'}},
            "fromSecret": {"bearer": {"token": "${ $secrets.token.token }"}},
        },
        secret_names=("login", "token"),
        secret=lambda name: secrets[name],
    )
    with Stub(lambda request: Answer(json={"ok": True})) as stub:
        call(context, endpoint={"uri": stub.url, "authentication": policy})
        assert stub.requests[0].headers["authorization"] == sent


def test_digest(context: CallContext) -> None:
    policy = {"digest": {"username": "u", "password": "p"}}
    with Stub(challenged) as stub:
        sent = call(context, endpoint={"uri": stub.url, "authentication": policy})
    assert sent.startswith("Digest username=")


@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        ({"use": "nobody"}, "configuration"),
        ({"certificate": {}}, "configuration"),
        ({}, "configuration"),
        (5, "configuration"),
        ({"basic": {"username": "u"}}, "configuration"),
        ({"basic": 5}, "configuration"),
        ({"basic": {"use": "undeclared"}}, "authorization"),
        ({"basic": {"use": "missing"}}, "authorization"),
    ],
)
def test_authentications_that_are_none(evaluator: Evaluator, policy: Any, kind: str) -> None:
    context = CallContext(OUTBOUND, evaluator.evaluate, secret_names=("missing",))
    with Stub(lambda request: Answer()) as stub:
        error = error_of(context, endpoint={"uri": stub.url, "authentication": policy})
        assert error["type"].endswith(f"/{kind}")
        assert not stub.requests


# Deferred calls and secrets


def deferred(stub: Stub, **arguments: Any) -> dict[str, Any]:
    return {
        "kind": "http",
        "deferred": True,
        "with": {"method": "post", "endpoint": f"{stub.url}/{{id}}", **arguments},
        "input": {"id": "o-1"},
        "variables": {"context": {"tenant": "t"}},
    }


def test_a_deferred_call_is_evaluated_with_secrets(evaluator: Evaluator) -> None:
    asked: list[str] = []

    def secret(name: str) -> Any:
        asked.append(name)
        return f"secret-{name}"

    context = CallContext(
        OUTBOUND, evaluator.evaluate, secret_names=("a", "b", "c d"), secret=secret
    )
    with Stub(lambda request: Answer(json={"got": request.json})) as stub:
        body = {
            "key": '${ "Bearer " + $secrets.a }',
            "other": '${ $secret["c d"] + $secrets.["c d"] + $secrets."c d" }',
            "tenant": "${ $context.tenant }",
            "id": "${ .id }",
        }
        output = perform(deferred(stub, body=body), context)
        assert stub.requests[0].json == {
            "key": "Bearer secret-a",
            "other": "secret-c d" * 3,
            "tenant": "t",
            "id": "o-1",
        }
        assert stub.requests[0].path == "/o-1"
    assert asked == ["a", "c d"]
    assert output == {
        "got": {"key": "Bearer ***", "other": "*********", "tenant": "t", "id": "o-1"}
    }


def test_all_secrets_where_they_are_taken_as_a_whole(evaluator: Evaluator) -> None:
    context = CallContext(
        OUTBOUND, evaluator.evaluate, secret_names=("a", "b"), secret=lambda name: f"s{name}"
    )
    with Stub(lambda request: Answer()) as stub:
        perform(deferred(stub, body='${ $secrets | keys | join(",") }'), context)
        assert stub.requests[0].body == b"a,b"


def redirected(evaluator: Evaluator, path: str, **arguments: Any) -> tuple[Stub, Stub]:
    """A deferred call to a server that redirects to another origin; both as they were asked."""
    context = CallContext(
        OUTBOUND,
        evaluator.evaluate,
        secret_names=("a",),
        secret=lambda name: "s3cret-value",
        authentications={"named": {"bearer": {"token": "${ $secrets.a }"}}},
    )
    with Stub(lambda request: Answer(json={})) as other:
        answer = Answer(307, headers={"Location": f"{other.url}/other"})
        with Stub(lambda request: answer) as first:
            endpoint = arguments.pop("endpoint", first.url + path)
            if isinstance(endpoint, dict):
                endpoint = {**endpoint, "uri": first.url}
            call = deferred(first, endpoint=endpoint, method="get", redirect=True, **arguments)
            perform(call, context)
            return first, other


@pytest.mark.parametrize(
    "arguments",
    [
        {"headers": {"X-Api-Key": "${ $secrets.a }", "X-Trace": "t"}},
        {"headers": {"X-Api-Key": "${ $secrets.a | @base64 }", "X-Trace": "t"}},
        {"headers": {"X-Api-Key": "${ $secrets.a | explode | reverse | implode }"}},
        {"headers": '${ {"X-Api-Key": $secrets.a} }'},
        {"headers": {"Authorization": "${ $secret.a }", "X-Trace": "t"}},
        {"headers": {"Cookie": "${ $secret.a }", "X-Trace": "t"}},
        {"endpoint": {"authentication": {"bearer": {"use": "a"}}}, "headers": {"X-Trace": "t"}},
        {"endpoint": {"authentication": {"use": "named"}}, "headers": {"X-Trace": "t"}},
    ],
)
def test_a_redirection_to_another_origin_takes_no_secret_along(
    evaluator: Evaluator, arguments: dict[str, Any]
) -> None:
    first, other = redirected(evaluator, "/", **arguments)
    ours = {"user-agent", "accept", "accept-encoding", "host", "connection", "x-trace"}
    assert set(first.requests[0].headers) - ours, "the secret was sent to whom it is for"
    assert set(other.requests[0].headers) <= ours
    if "X-Trace" in arguments["headers"]:
        assert other.requests[0].headers["x-trace"] == "t"


@pytest.mark.parametrize("expression", ["${ $secrets.a }", "${ $secrets.a | length }"])
def test_a_body_made_with_secrets_goes_to_no_other_origin(
    evaluator: Evaluator, expression: str
) -> None:
    """Also where the value does not look like the secret."""
    with pytest.raises(WorkflowError, match="body made with secrets") as caught:
        redirected(evaluator, "/", body={"key": expression})
    assert caught.value.status == 403


def test_a_secret_is_masked_in_what_a_failed_response_said(evaluator: Evaluator) -> None:
    """Also where the text for people is cut."""
    context = CallContext(
        OUTBOUND, evaluator.evaluate, secret_names=("a",), secret=lambda name: "s3cret-value"
    )
    for place in range(280, 302):
        said = "x" * place + "s3cret-value"
        answer = Answer(500, json=said, headers={"X-E": said})
        with Stub(partial(answered, answer)) as stub, pytest.raises(WorkflowError) as caught:
            perform(deferred(stub, body="${ $secrets.a }"), context)
        error = caught.value.to_json()
        assert error["data"]["content"] == "x" * place + "***"
        assert "s3c" not in str(error)


def test_where_data_may_hold_secrets_all_headers_stay(evaluator: Evaluator) -> None:
    context = CallContext(OUTBOUND, evaluator.evaluate, secrets_in_data=lambda: True)
    with Stub(lambda request: Answer()) as other:
        answer = Answer(302, headers={"Location": other.url})
        with Stub(lambda request: answer) as first:
            call(context, endpoint=first.url, redirect=True, headers={"X-Key": "out of data"})
            assert first.requests[0].headers["x-key"] == "out of data"
            assert "x-key" not in other.requests[0].headers


def test_secrets_are_masked_in_errors(evaluator: Evaluator) -> None:
    context = CallContext(
        OUTBOUND, evaluator.evaluate, secret_names=("a",), secret=lambda name: "secret-value"
    )
    with (
        Stub(lambda request: Answer(401, json={"bad": request.json})) as stub,
        pytest.raises(WorkflowError) as caught,
    ):
        perform(deferred(stub, body="${ {k: $secrets.a} }"), context)
    assert "secret-value" not in str(caught.value.to_json())
    assert "***" in str(caught.value.to_json())


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("${ $secrets.missing }", "authorization", 403),
        ("${ $secrets.undeclared }", "authorization", 403),
        ("${ .id | fromjson }", "expression", 400),
        ("${ $ENV }", "expression", 400),
    ],
)
def test_a_deferred_call_that_cannot_be_evaluated(
    evaluator: Evaluator, body: str, kind: str, status: int
) -> None:
    context = CallContext(OUTBOUND, evaluator.evaluate, secret_names=("missing",))
    with Stub(lambda request: Answer()) as stub:
        with pytest.raises(WorkflowError) as caught:
            perform(deferred(stub, body=body), context)
        assert not stub.requests
    assert caught.value.type.endswith(f"/{kind}")
    assert caught.value.status == status
