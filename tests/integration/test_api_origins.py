"""An API without keys: what a page of another site may send."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api import Api, document, problem

FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", "/v1/workflows", document("order")),
        ("post", "/v1/secrets/-/rotate", None),
        ("put", "/v1/secrets/pin", {"value": "x"}),
        ("delete", "/v1/workflows/shop/order", None),
        ("post", "/v1/instances/00000000-0000-7000-8000-000000000001/cancel", {}),
    ],
)
def test_a_page_of_another_site_changes_nothing(
    api: Api, method: str, path: str, body: Any, headers: dict[str, str]
):
    before = api.checksums()
    answer = api(method, path, json=body, headers=headers)
    assert (answer.status_code, problem(answer)) == (403, "forbidden")
    assert api.checksums() == before


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}]
)
def test_programs_and_own_pages_are_served(api: Api, headers: dict[str, str]):
    answer = api.post("/v1/workflows", json=document("order"), headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("name", ["started_after", "started_before"])
def test_the_ends_of_time_are_no_error(api: Api, moment: str, name: str):
    assert api.get(f"/v1/instances?{name}={moment}").status_code == 200


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"])
def test_what_is_beyond_them_is_refused(api: Api, moment: str):
    assert api.get(f"/v1/instances?started_after={moment}").status_code in (200, 400, 422)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("[::1]", 200), ("[::1]:8233", 200), ("localhost:8233", 200), ("127.0.0.1", 200),
        ("[::2]", 400), ("[::1].evil.example", 400), ("[::1]:x", 400), ("evil.example", 400),
    ],
)  # fmt: skip
def test_without_keys_only_names_of_this_machine_are_answered(api: Api, host: str, status: int):
    assert api.get("/v1/workflows", headers={"Host": host}).status_code == status
