"""What befalls a decision about a note: a result lands, the note goes, the session is ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.model import StimulusKind
from orchestrator.database.transitions.state_store import PostgresLockedView, PostgresView
from orchestrator.errors import DatabaseUnavailable
from orchestrator.state_manager import WorkflowCache, decision, transition_runner
from tests.support.api import Api
from tests.support.manual_workers import Outside

ALONE = [{"a": {"call": "a"}}, {"b": {"call": "b"}}]
FORKED = [{"f": {"fork": {"branches": [{"a": {"call": "a"}}, {"x": {"call": "x"}}]}}}]


def put(outside: Outside, id: str, command: str) -> int:
    """Leave a command in the inbox; the note's id."""
    outside.state.store.put_stimulus(id, StimulusKind.COMMAND, data={"command": command})
    return int(outside.api.all("select max(id) from orchestrator.stimuli")[0][0])


def notes(api: Api) -> list[tuple[int, bool]]:
    return api.all("select id, deferred from orchestrator.stimuli order by deferred, id")


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Have something happen once: after the next decision, before that is saved."""

    def after_next(act: Callable[[], Any]) -> None:
        real, acts = decision.decide, [act]

        def decide(*args: Any, **options: Any) -> Any:
            decided = real(*args, **options)
            while acts:
                acts.pop()()
            return decided

        monkeypatch.setattr(transition_runner, "decide", decide)

    return after_next


def test_a_refusal_judged_without_the_lock_does_not_forget_the_command(outside, api, meanwhile):
    """An attempt is in flight, so the retry would be refused; the result lands in between."""
    id = outside.start(ALONE)
    work = outside.claim(id)
    outside.command(id, "terminate")
    put(outside, id, "retry")
    meanwhile(lambda: outside.finish(work))
    outside.state.process_inbox(id)
    assert outside.instance(id)["run"] == 2
    assert notes(api) == []


def test_a_note_that_goes_while_it_is_judged_under_the_lock_keeps_nobody(
    outside, api, meanwhile, caplog
):
    id = outside.start(FORKED)
    first = put(outside, id, "suspend")
    put(outside, id, "cancel")
    meanwhile(lambda: api.all("delete from orchestrator.stimuli where id = %s", first))
    outside.state.process_inbox(id)
    assert outside.told(id, "workflow.suspended") == []
    assert outside.instance(id)["status"] == "cancelled"
    assert notes(api) == []
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == []


def test_a_session_ended_under_the_lock_keeps_the_order_of_the_inbox(outside, api, meanwhile):
    id = outside.start(FORKED)
    first, second = put(outside, id, "suspend"), put(outside, id, "cancel")
    ended = (
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where state = 'idle in transaction' and datname = current_database()"
    )
    meanwhile(lambda: api.all(ended))
    with pytest.raises(DatabaseUnavailable):
        outside.state.process_inbox(id)
    assert notes(api) == [(first, False), (second, False)]
    outside.state.process_inbox(id)
    assert len(outside.told(id, "workflow.suspended")) == 1
    assert outside.instance(id)["status"] == "cancelled"


def test_a_decision_that_fails_without_the_lock_is_made_again_under_it(
    outside, api, monkeypatch, caplog
):
    """It may have read two states of the instance: that says nothing about the stimulus."""
    id = outside.start(ALONE)
    real, decided = decision.decide, []

    def decide(*args: Any, locked: bool, **options: Any) -> Any:
        decided.append(locked)
        if not locked:
            raise LookupError("a row of another state")
        return real(*args, locked=locked, **options)

    monkeypatch.setattr(transition_runner, "decide", decide)
    put(outside, id, "suspend")
    outside.state.process_inbox(id)
    assert decided == [False, True]
    assert outside.instance(id)["status"] == "suspended"
    assert notes(api) == []
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == []


def test_the_workflow_is_read_through_the_connection_that_has_the_lock(outside, monkeypatch):
    """With the pool's connections all in hand, a second one might never come."""
    id = outside.start(FORKED)
    put(outside, id, "suspend")
    state, store = outside.state, outside.state.store
    empty = replace(state, workflows=WorkflowCache(store))
    real, read = PostgresView.document, []

    def document(view: PostgresView, workflow: str) -> Any:
        read.append(view)
        return real(view, workflow)

    monkeypatch.setattr(PostgresView, "document", document)
    empty.process_inbox(id)
    assert outside.instance(id)["status"] == "suspended"
    assert [type(view) for view in read] == [PostgresLockedView]
