"""Ids: UUIDv7, written as `uuid.UUID` writes them."""

from __future__ import annotations

import uuid

import pytest

from orchestrator.ids import new_id, text, uuid7


@pytest.mark.parametrize("value", [0, 1, 0xABCDEF << 96, 2**128 - 1])
def test_text_is_the_canonical_form(value: int) -> None:
    assert text(value) == str(uuid.UUID(int=value))


def test_an_id_has_version_7_its_time_and_its_randomness() -> None:
    found = uuid.UUID(uuid7(1_700_000_000_000, 2**74 - 1))
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == 1_700_000_000_000
    assert uuid7(2**48 + 5, 0) == uuid7(5, 0), "the time's 48 bits only"


def test_a_later_id_sorts_after_an_earlier_one() -> None:
    assert uuid7(1, 2**74 - 1) < uuid7(2, 0)
    assert uuid.UUID(new_id()).version == 7
