"""What is deprecated says so, in each of its answers and in the description."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from api import deprecation
from api.deprecation import Deprecated
from tests.support.api import Api


def test_a_deprecated_operation_says_since_when_and_until_when(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    since, sunset = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    told = Deprecated(since, sunset, "https://example.com/changes")
    named = {"administration.timers": told, "letters.get": told, "dead letters.get": told}
    monkeypatch.setattr(deprecation, "DEPRECATED", named)
    old = Api.on(api.database.url, "redis://127.0.0.1:1/0")
    for answer in (old.get("/v1/timers"), old.get("/v1/timers?limit=x")):
        assert answer.headers["Deprecation"] == "@1767225600"
        assert answer.headers["Sunset"] == "Fri, 01 Jan 2027 00:00:00 GMT"
        assert answer.headers["Link"].startswith("<https://example.com/changes>; rel=")
    assert "Deprecation" not in old.get("/v1/listeners").headers
    paths = old.description.spec["paths"]
    assert paths["/v1/timers"]["get"]["deprecated"] is True
    assert paths["/v1/dead-letters/{id}"]["get"]["deprecated"] is True
    assert "deprecated" not in paths["/v1/listeners"]["get"]
    old.close()


def test_nothing_that_is_declared_is_unknown(api: Api):
    assert deprecation.DEPRECATED.keys() <= api.client.application.view_functions.keys()
