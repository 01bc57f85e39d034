"""Masks: every form that our own calls give a secret, and nothing else."""

from __future__ import annotations

import base64
from json import dumps
from urllib.parse import quote, quote_plus, urlencode

import pytest

from orchestrator.calls.call_secrets import MASK, Secrets
from tests.support.secret_scan import found

SECRET = "s3cret-'ü?>value'-\\with signs"


def secrets(value: object = SECRET) -> Secrets:
    made = Secrets({"token": value}.__getitem__, ("token",))
    made.value("token")
    return made


@pytest.mark.parametrize(
    "text",
    [
        SECRET, repr(SECRET), quote(SECRET), quote(SECRET, safe=""), quote_plus(SECRET),
        urlencode({"key": SECRET}), f"GET https://x.example/?key={quote_plus(SECRET)}&b=1",
        *(base64.b64encode(b"u" * n + f"{SECRET}:more".encode()).decode() for n in range(4)),
        *(base64.b64encode(b"u" * n + dumps({"k": SECRET}).encode()).decode() for n in range(4)),
        *(base64.urlsafe_b64encode(b"u" * n + SECRET.encode()).decode() for n in range(4)),
    ],
)  # fmt: skip
def test_a_secret_is_masked_as_calls_encode_it(text: str) -> None:
    masked = secrets().mask({"in": [text]})["in"][0]
    assert MASK in masked
    for part in ("s3cret-", "value", "with"):
        assert found(part, masked) is None


def test_a_short_secret_masks_no_base64_of_something_else() -> None:
    text = base64.b64encode(b"1234").decode()
    assert secrets("1234").mask(f"1234 {text}") == f"{MASK} {text}"


def test_a_secret_that_is_used_later_is_masked_from_then_on() -> None:
    made = Secrets({"a": "first-one", "b": "second-one"}.__getitem__, ("a", "b"))
    made.value("a")
    assert made.mask("first-one second-one") == f"{MASK} second-one"
    made.value("b")
    assert made.mask("first-one second-one") == f"{MASK} {MASK}"


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("12345678", 12345678),
        ("12345.5", 12345.5),
        ("2026-01-02T03:04:05Z", 1767323045),
        ('{"user": "somebody", "pin": 987654}', {"user": "somebody"}),
        ('{"user": "somebody", "pin": 987654}', [987654]),
        ("s3cret-value", "S3CRET-VALUE"),
        ("S3cret-Value", "s3cret-value"),
        ("s3cret-value", b"s3cret-value".hex()),
        ("s3cret-value", b"s3cret-value".hex().upper()),
        ({"pin": 424242}, 424242),
    ],
)
def test_what_an_expression_makes_of_a_secret_is_masked(secret: object, shown: object) -> None:
    """`tonumber`, `fromjson`, the seconds of a date, `ascii_upcase`, hexadecimal digits."""
    masked = secrets(secret).mask({"in": [shown]})["in"][0]
    assert MASK in dumps(masked)
    assert masked != shown


@pytest.mark.parametrize("value", [True, 0, 12, 12345679, "1234567", None, 1.5])
def test_other_values_are_left_alone(value: object) -> None:
    assert secrets("12345678").mask(value) is value
