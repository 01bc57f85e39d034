"""Retries of parents and sub-workflows: finished steps stay, each effect happens once or is undone
once, and every retry of a parent gets an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.core.model import OPEN_STATUSES, Compensation, Status, StimulusKind
from orchestrator.testing.world import Failure, World
from tests.support.documents import boom, call, doc

HOLD = {"metadata": {"onFault": "hold"}}
RUN = {"run": {"workflow": {"namespace": "test", "name": "child", "version": "1.0.0"}}}


def child(*tasks: dict[str, Any], **about: Any) -> dict[str, Any]:
    return doc(*tasks, about={"name": "child", **about})


CHARGE = child({"charge": call("charge", "refund")}, {"ship": call("ship")}, **HOLD)
PLAIN = child({"charge": call("charge")}, {"ship": call("ship")}, **HOLD)


@dataclass
class Pair:
    """A parent and its sub-workflow, both driven by hand; `ran` are the tasks that were asked
    for, in order."""

    world: World
    parent: str
    ran: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, child: dict[str, Any], *tasks: dict[str, Any], **about: Any) -> Pair:
        about = about or HOLD
        world = World(doc(*(tasks or [{"r": RUN}, {"y": call("y")}]), about=about), child)
        return cls(world, world.start("test/flow"))

    @property
    def child(self) -> str:
        """The first sub-workflow."""
        return next(id for id in self.world.rows if id != self.parent)

    def work(self, *failing: str) -> None:
        """Until nothing is left to do. Tasks in `failing` fail."""

        def answer(request: Any) -> Any:
            self.ran.append(request["task"])
            if request["task"] in failing:
                raise Failure({"type": "https://example.com/fail", "status": 500})
            return request["task"]

        self.world.run_out(answer)

    def state(self, id: str) -> tuple[str, str]:
        instance = self.world.instance(id)
        return instance.status.value, instance.compensation.value

    @property
    def step(self) -> Any:
        """The newest step that runs the sub-workflow."""
        return self.world.step(self.parent, "r")


def faulted(document: dict[str, Any] = CHARGE, *tasks: dict[str, Any], **about: Any) -> Pair:
    """A pair in which `ship` has failed."""
    pair = Pair.of(document, *tasks, **about)
    pair.work("ship")
    assert pair.state(pair.parent)[0] == pair.state(pair.child)[0] == "faulted"
    return pair


# -- the parent's retry --------------------


def test_the_sub_workflow_continues_where_it_stopped() -> None:
    pair = faulted()
    pair.world.command(pair.parent, "retry", by="me")
    assert pair.step.status is Status.RUNNING
    pair.work()
    assert pair.ran == ["charge", "ship", "ship", "y"]
    assert pair.state(pair.parent) == pair.state(pair.child) == ("completed", "none")
    assert len(pair.world.rows) == 2
    assert len(pair.world.steps(pair.parent, "/do/0/r")) == 1, "the same step, opened again"
    (retried,) = pair.world.facts(pair.child, "workflow.retried")
    assert retried.data["by"] == "me"


def test_a_sub_workflow_repaired_meanwhile_is_used_as_it_is() -> None:
    pair = faulted()
    pair.world.command(pair.child, "retry")
    pair.work()
    assert pair.state(pair.child)[0] == "completed"
    assert pair.state(pair.parent)[0] == "faulted", "a faulted parent never goes on by itself"
    pair.world.command(pair.parent, "retry")
    pair.work()
    assert pair.ran == ["charge", "ship", "ship", "y"]
    assert pair.state(pair.parent) == ("completed", "none")


def test_a_repair_under_way_is_awaited() -> None:
    pair = faulted()
    pair.world.command(pair.child, "retry")
    pair.world.command(pair.parent, "retry")
    assert pair.step.status is Status.RUNNING
    pair.work()
    assert pair.ran == ["charge", "ship", "ship", "y"]


def test_a_suspended_sub_workflow_is_awaited() -> None:
    pair = faulted()
    pair.world.command(pair.child, "retry")
    pair.world.command(pair.child, "suspend")
    pair.world.command(pair.parent, "retry")
    pair.work()
    assert pair.step.status is Status.RUNNING
    pair.world.command(pair.child, "resume")
    pair.work()
    assert pair.ran == ["charge", "ship", "ship", "y"]


def test_one_that_fails_again_fails_its_parent_again() -> None:
    pair = faulted()
    for _ in range(2):
        pair.world.command(pair.parent, "retry")
        pair.work("ship")
        assert pair.state(pair.parent) == ("faulted", "none")
    pair.world.command(pair.parent, "retry")
    pair.work()
    assert pair.ran == ["charge", *["ship"] * 4, "y"]
    assert pair.world.instance(pair.child).run == 4


def test_one_that_was_undone_is_replaced() -> None:
    pair = faulted()
    pair.world.command(pair.child, "compensate")
    pair.work()
    pair.world.command(pair.parent, "retry")
    pair.work()
    assert pair.ran == ["charge", "ship", "refund", "charge", "ship", "y"]
    assert pair.state(pair.parent)[0] == "completed"
    first, second = pair.world.steps(pair.parent, "/do/0/r")
    assert (first.status, second.status) == (Status.CANCELLED, Status.COMPLETED)
    assert first.state["child"] == pair.child != second.state["child"]


def test_one_that_is_being_undone_is_waited_for_and_replaced() -> None:
    pair = faulted()
    pair.world.command(pair.child, "compensate")
    pair.world.command(pair.parent, "retry")
    assert [one.task for one in pair.world.ready()] == ["refund"]
    assert pair.step.status is Status.RUNNING
    pair.work()
    assert pair.ran == ["charge", "ship", "refund", "charge", "ship", "y"]


def test_one_whose_undoing_failed_is_refused() -> None:
    pair = faulted()
    pair.world.command(pair.child, "compensate")
    pair.work("refund")
    pair.world.command(pair.parent, "retry")
    assert pair.state(pair.parent) == ("faulted", "none")
    assert "compensation of the sub-workflow failed" in pair.step.error["detail"]
    assert len(pair.world.rows) == 2


def test_a_sub_workflow_with_attempts_in_flight_answers_when_they_have_ended() -> None:
    branches = [{"a": call("a")}, {"b": call("b")}]
    pair = Pair.of(child({"f": {"fork": {"branches": branches}}}, **HOLD))
    a, b = pair.world.ready()
    pair.world.claim(a)
    pair.world.fail(b)
    pair.world.command(pair.child, "terminate")  # the parent need not wait for `a`
    assert pair.state(pair.parent)[0] == "faulted"
    pair.world.command(pair.parent, "retry")
    assert pair.world.ready() == []
    pair.world.succeed(a)
    pair.work()
    assert pair.ran == ["b", "y"], "what landed is not done again"
    assert pair.state(pair.parent)[0] == "completed"


def test_after_two_asks_a_sub_workflow_continues_once() -> None:
    pair = faulted()
    retry = {"command": "retry", "retry_run": 2, "step": 1}
    pair.world.paused.add(pair.child)
    pair.world.command(pair.parent, "retry")
    pair.world.send_stimulus(pair.child, StimulusKind.COMMAND, data=retry)
    pair.world.paused.clear()
    pair.world.drain()
    pair.work("ship")
    pair.world.send_stimulus(pair.child, StimulusKind.COMMAND, data=retry)
    pair.work()
    assert pair.ran == ["charge", "ship", "ship"]
    assert pair.state(pair.parent) == ("faulted", "none")
    pair.world.send_stimulus(pair.child, StimulusKind.COMMAND, data={**retry, "retry_run": 1})
    assert "later run" in pair.world.ignored[-1]


def test_a_new_run_that_cannot_be_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from orchestrator.core.commands import CommandRefused, retry_and_skip

    pair = faulted()
    before = pair.world.instance(pair.child)

    def refuse(*_: Any) -> None:
        raise CommandRefused("it cannot be")

    monkeypatch.setattr(retry_and_skip, "_target", refuse)
    pair.world.paused.add(pair.parent)
    pair.world.send_stimulus(
        pair.child, StimulusKind.COMMAND, data={"command": "retry", "retry_run": 2, "step": 1}
    )
    (answer,) = pair.world.rows[pair.parent].inbox
    assert (answer.data["answer"], answer.data["detail"]) == ("refused", "it cannot be")
    assert answer.data["held"] is True
    assert pair.world.instance(pair.child).run == before.run


def test_stopped_sub_workflows_of_other_branches_continue_too() -> None:
    branches = [{"r": RUN}, {"x": call("x")}]
    pair = Pair.of(PLAIN, {"f": {"fork": {"branches": branches}}})
    charge, x = sorted(pair.world.ready(), key=lambda one: one.task)
    pair.world.succeed(charge)
    pair.world.fail(x)
    assert pair.state(pair.child) == ("cancelled", "none")
    pair.world.command(pair.parent, "retry")
    pair.work()
    assert sorted(pair.ran) == ["ship", "x"], "`charge` had been done"
    assert len(pair.world.rows) == 2
    assert pair.state(pair.parent)[0] == "completed"


def test_with_another_input_there_is_another_sub_workflow() -> None:
    pair = faulted()
    pair.world.command(pair.parent, "retry", input={"n": 2})
    pair.work()
    assert pair.ran == ["charge", "ship", "charge", "ship", "y"]
    pair.world.command(pair.child, "retry")
    assert "abandoned" in pair.world.ignored[-1]
    pair.world.command(pair.parent, "compensate")
    pair.work()
    assert pair.ran[5:] == ["refund", "refund"], "that of the first one, too"


def test_going_back_to_an_earlier_step_gives_the_sub_workflow_up() -> None:
    pair = faulted(CHARGE, {"z": call("z")}, {"r": RUN})
    pair.world.command(pair.parent, "retry", **{"from": 1})
    pair.world.command(pair.child, "retry")
    assert "abandoned" in pair.world.ignored[-1]
    pair.work()
    assert pair.ran == ["z", "charge", "ship", "z", "charge", "ship"]


def test_skipping_the_step_gives_the_sub_workflow_up() -> None:
    pair = faulted()
    pair.world.command(pair.parent, "skip", output="given")
    pair.work()
    assert pair.state(pair.parent)[0] == "completed"
    pair.world.command(pair.child, "skip", output="given")
    assert "abandoned" in pair.world.ignored[-1]


# -- reports that change nothing --------------------


@pytest.mark.parametrize("ask", [None, 1, 3])
def test_reports_of_another_ask_change_nothing(ask: int | None) -> None:
    pair = faulted()
    pair.world.paused.add(pair.child)
    pair.world.command(pair.parent, "retry")
    data = {"status": "completed", "output": "old", "run": 1, **({"retry_run": ask} if ask else {})}
    pair.world.send_stimulus(pair.parent, StimulusKind.CHILD, pair.step.id, data)
    assert "since" in pair.world.ignored[-1]
    assert pair.step.status is Status.RUNNING


def test_reports_of_an_earlier_run_change_nothing() -> None:
    pair = faulted()
    pair.world.command(pair.parent, "retry")
    data = {"status": "faulted", "error": None, "run": 1, "retry_run": 2}
    pair.world.send_stimulus(pair.parent, StimulusKind.CHILD, pair.step.id, data)
    assert "another run" in pair.world.ignored[-1]
    pair.work()
    assert pair.state(pair.parent)[0] == "completed"


def test_a_report_without_a_run_is_one_of_an_older_release() -> None:
    pair = Pair.of(PLAIN)
    pair.world.paused.add(pair.child)
    pair.world.send_stimulus(
        pair.parent, StimulusKind.CHILD, 1, {"status": "completed", "output": 1}
    )
    assert pair.step.status is Status.COMPLETED


# -- what happens to the parent meanwhile --------------------

#: How the sub-workflow gets into its state: commands, each with its instance, or what a worker
#: does.
CHILD_STATES: dict[str, list[str]] = {
    "held": [],
    "goes on": ["retry child"],
    "suspended": ["retry child", "suspend child"],
    "in flight": ["retry child", "claim", "terminate child"],
    "being undone": ["compensate child"],
    "undone": ["compensate child", "work"],
}
PARENT: dict[str, list[str]] = {
    "cancelled": ["retry parent", "cancel parent"],
    "terminated": ["retry parent", "terminate parent"],
    "compensated": ["compensate parent"],
    "timed out": ["retry parent", "time"],
    "retried": ["retry parent"],
}


def _act(pair: Pair, actions: list[str]) -> None:
    for action in actions:
        if action == "claim":
            pair.world.claim(pair.world.ready(pair.child)[0])
        elif action == "work":
            pair.work()
        elif action == "time":
            pair.world.pass_time(3601)
        else:
            command, to = action.split()
            pair.world.command(getattr(pair, to), command)


def _finish(pair: Pair) -> None:
    """Whatever can happen happens."""
    pair.world.paused.clear()
    pair.world.drain()
    for attempt in pair.world.running():
        pair.ran.append(attempt.task)
        pair.world.succeed(attempt, attempt.task)
    for id in pair.world.rows:
        if pair.world.instance(id).status is Status.SUSPENDED:
            pair.world.command(id, "resume")
    pair.work()


@pytest.mark.parametrize("late", [True, False], ids=["its notes wait", "its notes come at once"])
@pytest.mark.parametrize("befalls", PARENT)
@pytest.mark.parametrize("state", CHILD_STATES)
def test_each_effect_happens_once_or_is_undone(state: str, befalls: str, late: bool) -> None:
    """In every state of the child, and whatever happens to the parent meanwhile."""
    pair = faulted(
        CHARGE, {"z": call("z", "undo-z")}, {"r": {**RUN, "timeout": {"after": "PT1H"}}}, **HOLD
    )
    _act(pair, CHILD_STATES[state])
    if late:
        pair.world.paused.add(pair.child)
    _act(pair, PARENT[befalls])
    _finish(pair)
    world = pair.world
    for rows in world.rows.values():
        instance = rows.instance
        assert instance.status not in OPEN_STATUSES
        assert instance.open_places == 0
        assert instance.compensation is not Compensation.RUNNING
        assert not any(step.status in OPEN_STATUSES for step in rows.steps.values()), (
            "no ask is left open"
        )
        assert not (instance.state or {}).get("postponed_commands")
    charges = pair.ran.count("charge") - pair.ran.count("refund")
    if befalls in ("cancelled", "compensated"):
        assert charges == 0, pair.ran
        assert pair.ran.count("undo-z") == 1
    elif befalls == "retried":
        assert pair.state(pair.parent) == ("completed", "none"), pair.ran
        assert charges == 1, pair.ran
    else:
        assert charges in (0, 1), pair.ran


# -- uncompensated, and undone with the parent --------------------


def test_an_uncompensated_sub_workflow_is_undone_with_its_parent_in_its_place() -> None:
    pair = faulted(
        CHARGE, {"z": call("z", "undo-z")}, {"r": RUN}, metadata={"onFault": "compensate"}
    )
    assert pair.ran == ["z", "charge", "ship", "refund", "undo-z"]
    assert pair.state(pair.child) == pair.state(pair.parent) == ("faulted", "completed")


def test_an_uncompensated_sub_workflow_whose_fault_was_caught_is_undone_later() -> None:
    block = {"try": [{"r": RUN}], "catch": {"do": [{"h": call("h", "undo-h")}]}}
    pair = Pair.of(CHARGE, {"t": block}, {"bad": boom()}, metadata={"onFault": "compensate"})
    pair.work("ship")
    assert pair.ran == ["charge", "ship", "h", "undo-h", "refund"]


def test_a_rollback_undoes_an_uncompensated_sub_workflow() -> None:
    block = {
        "try": [{"r": RUN}],
        "catch": {"do": [{"h": call("h")}]},
        "metadata": {"rollback": True},
    }
    pair = Pair.of(CHARGE, {"t": block})
    pair.work("ship")
    assert pair.ran == ["charge", "ship", "refund", "h"]
    assert pair.state(pair.parent) == ("completed", "none")


def test_where_the_sub_workflow_has_nothing_to_undo_the_parent_can_be_retried() -> None:
    pair = faulted(PLAIN, metadata={})
    assert pair.state(pair.parent) == ("faulted", "none")
    pair.world.command(pair.parent, "retry")
    pair.work()
    assert pair.ran == ["charge", "ship", "ship", "y"]


def test_a_completed_sub_workflow_with_nothing_to_undo_does_not_bar_a_retry() -> None:
    pair = Pair.of(PLAIN, {"r": RUN}, {"y": call("y")}, metadata={})
    pair.work("y")
    assert pair.state(pair.parent) == ("faulted", "none")
    assert pair.world.facts(pair.parent, "task.compensated") == []
    pair.world.command(pair.parent, "retry")
    pair.work()
    assert pair.ran == ["charge", "ship", "y", "y"]


def test_after_its_parent_was_undone_a_sub_workflow_does_not_continue() -> None:
    pair = faulted(PLAIN, {"z": call("z", "undo-z")}, {"r": RUN}, metadata={})
    assert pair.ran == ["z", "charge", "ship", "undo-z"]
    pair.world.command(pair.child, "retry")
    assert "abandoned" in pair.world.ignored[-1]
    assert pair.state(pair.child) == ("faulted", "none")


def test_a_success_that_comes_after_the_parent_was_undone_is_undone() -> None:
    """The sub-workflow had undone nothing when its fault was caught. It is retried while its parent
    continues, is undone, and has no reason to ask it."""
    block = {"try": [{"r": RUN}], "catch": {"do": [{"h": call("h", "undo-h")}]}}
    pair = Pair.of(
        child({"ship": call("ship", "unship")}), {"t": block}, {"bad": boom()}, metadata={}
    )
    world = pair.world
    world.fail(world.ready()[0])
    world.command(pair.child, "retry")
    ship = world.claim(world.ready(pair.child)[0])
    world.succeed(world.ready(pair.parent)[0])
    world.succeed(world.ready(pair.parent)[0])
    assert pair.state(pair.parent) == ("faulted", "completed")
    world.succeed(ship, "late")
    assert pair.step.status is Status.COMPLETED
    pair.work()
    assert pair.ran == ["unship"]
    assert pair.state(pair.child) == ("completed", "completed")


def test_a_withdrawn_sub_workflow_continues_only_with_its_parent() -> None:
    pair = Pair.of(PLAIN)
    pair.world.succeed(pair.world.ready()[0])
    pair.world.command(pair.parent, "terminate")
    pair.world.command(pair.child, "retry")
    assert "abandoned" in pair.world.ignored[-1]
    pair.world.command(pair.parent, "retry")
    pair.work()
    assert pair.ran == ["ship", "y"]
    assert pair.state(pair.parent) == ("completed", "none")
