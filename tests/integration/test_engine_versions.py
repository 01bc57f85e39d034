"""I12: an instance is decided under the engine that it was started with, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.engine_version import ENGINE
from tests.support.api import Api, document
from tests.support.manual_workers import Outside

TWO = [{"a": {"call": "a"}}, {"b": {"call": "b"}}]


def engines(api: Api) -> list[Any]:
    return [each for (each,) in api.all("select engine from orchestrator.instances order by id")]


def of_engine(api: Api, number: int) -> None:
    """As a release of that engine would have started it."""
    api.all("update orchestrator.instances set engine = %s", number)


def test_a_start_writes_the_engine(outside: Outside, monkeypatch: pytest.MonkeyPatch):
    """Also that of a sub-workflow: a later release's number, not the column's default."""
    for module in ("instances.instance_queries", "transitions.side_rows"):
        monkeypatch.setattr(f"orchestrator.database.{module}.ENGINE", 7)
    monkeypatch.setattr("orchestrator.core.engine_version.SUPPORTED", frozenset({7}))
    outside.api.deploy(document("child"))
    about = {"namespace": "shop", "name": "child", "version": "latest"}
    outside.start([{"sub": {"run": {"workflow": about}}}])
    assert engines(outside.api) == [7, 7]


def test_an_unknown_engine_is_left_alone(outside: Outside, caplog: pytest.LogCaptureFixture):
    """The claim is refused and the note stays, until somebody comes who knows it."""
    id = outside.start(TWO)
    of_engine(outside.api, ENGINE + 1)
    before = outside.api.checksums()
    assert outside.claim(id) is None
    assert outside.api.checksums() == before, "what was claimed is given back as it was"
    outside.api.post(f"/v1/instances/{id}/cancel")
    before = outside.api.checksums()
    assert outside.state.process_inbox(id) is None
    assert outside.api.checksums() == before, "the note waits"
    said = [vars(each) for each in caplog.records if "engine" in vars(each)]
    assert [each["action"] for each in said] == ["unknown_engine"] * 2
    assert {(each["instance"], each["engine"]) for each in said} == {(id, ENGINE + 1)}
    told = outside.api.get(f"/v1/instances/{id}/why").json["causes"]
    (cause,) = [each for each in told if each["kind"] == "engine"]
    assert f"under engine {ENGINE + 1}" in cause["message"]
    of_engine(outside.api, ENGINE)
    outside.state.process_inbox(id)
    assert outside.instance(id)["status"] == "cancelled"


def test_of_a_known_engine_nothing_is_said(outside: Outside):
    id = outside.start(TWO)
    kinds = [each["kind"] for each in outside.api.get(f"/v1/instances/{id}/why").json["causes"]]
    assert "engine" not in kinds
    assert outside.work(id) == ["a", "b"]


def test_a_withdrawal_that_came_between_is_left_to_the_lease(outside: Outside):
    """Nobody would claim what was given back, and its instance would wait for its end."""
    id = outside.start(TWO)
    of_engine(outside.api, ENGINE + 1)
    outside.api.all(
        "create function public.withdraws() returns trigger language plpgsql as"
        " 'begin new.withdrawn = new.state = ''claimed''; return new; end'"
    )
    outside.api.all(
        "create trigger withdraws before update on orchestrator.attempts"
        " for each row execute function public.withdraws()"
    )
    try:
        assert outside.claim(id) is None
    finally:
        outside.api.all("drop function public.withdraws cascade")
    states = outside.api.all("select state, withdrawn from orchestrator.attempts")
    assert states == [("claimed", True)]
