"""Schedules replayed on real Postgres: `make chaos` does 500 of them."""

from __future__ import annotations

import pytest

from tests.simulation import postgres


def test_a_few_schedules_are_the_same_on_postgres(database_url):
    assert postgres.run(database_url, first=20, traces=6)["failed"] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_schedules_are_the_same_on_postgres(database_url):
    figures = postgres.run(database_url, first=1000, traces=100)
    assert figures["failed"] == []
    assert figures["transitions"] > 500
