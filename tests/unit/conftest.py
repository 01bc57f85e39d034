"""Fixtures of the unit tests."""

from __future__ import annotations

import pytest

from orchestrator.testing.world import World


@pytest.fixture(params=["by a worker", "in the request"])
def decided(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runs twice: with commands as a control worker decides them, all that follows in
    the same transition, and as the API does, which evaluates nothing and leaves the rest as
    notes."""
    monkeypatch.setattr(World, "decided", request.param == "in the request")
