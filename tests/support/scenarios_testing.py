"""How a scenario is played by `orchestrator.testing`, as a user would write it: its documents, and
stubs for its tasks. The outcome must be that of the core alone and of the real stack."""

from __future__ import annotations

import json
from typing import Any

from orchestrator import WorkflowError, current_step
from orchestrator.testing import CommandRefused, Run, Workflows, lost
from tests.support.scenarios import LONG, Ended, Outcome, Scenario, Stepped, error_of, name_of


def is_playable(scenario: Scenario) -> bool:
    """Whether its tasks only answer: nobody commands while one of them runs."""
    commands = scenario.body.get("commands", ())
    answers = [one for each in scenario.body.get("answers", {}).values() for one in each]
    special = any("retry" in one or "hang" in one for one in answers)
    return not special and all("after" in one for one in commands)


def play(scenario: Scenario) -> Outcome:
    """Play it to its end."""
    asked: list[str] = []
    refused = 0

    def stub_of(task: str) -> Any:
        def stub(*_: Any, **arguments: Any) -> Any:
            return _answer(scenario, task, arguments, asked)

        return stub

    workflows = Workflows(tasks={task: stub_of(task) for task in scenario.tasks()})
    documents = [json.dumps(each) for each in scenario.documents()]
    workflows.add(*[json.loads(each) for each in documents[1:]])
    run = _settled(workflows.start(json.loads(documents[0]), scenario.body.get("with")))
    for command in scenario.body.get("commands", ()):
        refused += not _commanded(run, command)
        _settled(run)
    ended = tuple(_ended(one) for one in workflows.runs)
    return Outcome(tuple(asked), refused, ended)


def _answer(scenario: Scenario, task: str, arguments: dict[str, Any], asked: list[str]) -> Any:
    assert current_step() is not None
    asked.append(task)
    answer = scenario.answer(task, asked.count(task))
    if answer == "lost":
        raise lost().error
    if "error" in answer:
        raise WorkflowError(**answer["error"])
    if "expects" in answer:
        assert arguments == answer["expects"]
        return None
    return arguments if answer["ok"] == "echo" else answer["ok"]


def _settled(run: Run) -> Run:
    """Let the time pass that the scenario waits for: long pauses only end by a command."""
    while run.due is not None and (run.due - run.now).total_seconds() < LONG:
        run.advance(seconds=(run.due - run.now).total_seconds())
    return run


def _commanded(run: Run, command: dict[str, Any]) -> bool:
    data = {name: value for name, value in command.items() if name not in ("after", "command")}
    for name in ("from", "step"):
        if name in data:
            references = [step.reference for step in run]
            ends = [one for one in references if name_of(one) == data[name]]
            data[name] = run.step_id(ends[-1])
    try:
        run.command(command["command"], **data)
    except CommandRefused:
        return False
    return True


def _ended(run: Run) -> Ended:
    return Ended(
        run.status,
        run.compensation,
        run.rows.instance.run,
        run.output,
        error_of(run.error),
        len(run.dead_letters),
        tuple(
            Stepped(
                name_of(step.reference),
                step.kind,
                step.index,
                step.status,
                step.unknown,
                step.undoes,
                step.states,
            )
            for step in run
        ),
    )
