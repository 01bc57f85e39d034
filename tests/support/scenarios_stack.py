"""Plays scenarios on the real stack: many at once, each in a namespace of its own.

The tasks are those of `tests/apps/scenarios`; they and this runner communicate through the table
`public.asked`. The product's tables show when everything is idle: nothing to claim, nothing in an
inbox, no timer due within seconds, and every running task waits for the runner.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.scenarios import (
    LONG,
    Ended,
    Outcome,
    Scenario,
    Stepped,
    error_of,
    name_of,
    scenarios,
)
from tests.support.stack import Stack

APP = "tests.celery_apps.scenarios"
#: Scenarios that are played at once; each has two tasks that wait at most.
AT_ONCE = 5

_ASKED = """
create table public.asked (
  id bigint generated always as identity primary key, namespace text, task text,
  attempt uuid, key text, hanging boolean default false, released boolean default false)
"""
#: What goes on in a namespace: is anything under way, and which attempts hang?
_LOOK = """
with mine as (
  select id, status, compensation from orchestrator.instances where namespace = %s),
live as (
  select a.id, a.state, n.id is not null as hangs
    from mine join orchestrator.attempts a on a.instance_id = mine.id
    left join public.asked n on n.attempt = a.id and n.hanging and not n.released
   where a.state in ('ready', 'claimed'))
select exists (select from live where not hangs)
    or exists (select from mine where status = 'pending')
    or exists (select from mine join orchestrator.stimuli s on s.instance_id = mine.id
                where mine.status <> 'suspended' or s.kind in ('command', 'result'))
    or exists (select from mine join orchestrator.timers t on t.instance_id = mine.id
                where t.due_at < clock_timestamp() + make_interval(secs => %s)),
  array(select id::text from live where hangs order by id)
"""
#: How often a task was asked for, and whether its last call hangs.
_CALLS = (
    "select count(*), (array_agg(hanging order by id desc))[1] from public.asked"
    " where (namespace, task) = (%s, %s)"
)
_STEP = (
    "select id from orchestrator.steps where instance_id = %s"
    " and (reference = %s or reference like %s) order by id desc limit 1"
)


class Stage:
    """The stack that scenarios are played on; its one worker can play one at a time."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def worker(self, name: str, concurrency: int) -> None:
        """Start one more worker; a busy machine gives it its time."""
        quick = ("--without-mingle", "--without-gossip")
        self.stack.worker(name, APP, concurrency=concurrency, arguments=quick, timeout=100)

    def play(self, chosen: Sequence[Scenario], timeout: float = 500) -> dict[str, Outcome]:
        """Play scenarios, `AT_ONCE` of them at a time; what came of each, by its name."""
        waiting, going = list(chosen), list[Play]()
        outcomes: dict[str, Outcome] = {}
        deadline = time.monotonic() + timeout
        while waiting or going:
            while waiting and len(going) < AT_ONCE:
                going.append(Play(self.stack, waiting.pop(0)))
            for play in [one for one in going if not one.step()]:
                going.remove(play)
                outcomes[play.scenario.name] = play.outcome()
            if time.monotonic() > deadline:
                names = [one.scenario.name for one in going]
                raise AssertionError(f"not at rest in {timeout} s: {names}\n{self.stack.logs()}")
            time.sleep(0.02)  # between two looks, never instead of one
        return outcomes


@contextmanager
def stage_on(folder: Path, database_url: str, broker_url: str) -> Iterator[Stage]:
    """A stack with workers of the scenarios' app."""
    with Stack(folder, database_url, broker_url) as stack:
        stack.sql(_ASKED)
        stack.api()
        stack.beat(app=APP)
        stage = Stage(stack)
        stage.worker("worker", concurrency=2)
        yield stage


class Play:
    """One scenario that is being played."""

    def __init__(self, stack: Stack, scenario: Scenario) -> None:
        self.stack = stack
        self.scenario = scenario
        self.namespace = f"s{scenarios().index(scenario)}"
        self.commands = list(scenario.body.get("commands", ()))
        self.refused = 0
        bodies = [stack.deploy(each) for each in reversed(scenario.documents(self.namespace))]
        self.id = stack.start(bodies[-1], input=scenario.body.get("with"))

    def step(self) -> bool:
        """Do what is to be done now; False: nothing is left to happen."""
        if (command := self._meanwhile()) is not None:
            self._command(command)
            return True
        ((busy, hanging),) = self.stack.sql(_LOOK, self.namespace, LONG)
        if busy:
            return True
        if hanging:
            self.stack.sql("update public.asked set released = true where attempt = %s", hanging[0])
        elif self.commands:
            assert "after" in self.commands[0], f"its time never came: {self.commands[0]}"
            self._command(self.commands[0])
        else:
            return False
        return True

    def _meanwhile(self) -> dict[str, Any] | None:
        """A command that is given while a task runs, which now does."""
        for command in self.commands:
            if "while" in command:
                ((asked, hangs),) = self.stack.sql(_CALLS, self.namespace, command["while"])
                if hangs and asked >= command.get("nth", 1):
                    return command
        return None

    def _command(self, command: dict[str, Any]) -> None:
        self.commands.remove(command)
        told = ("while", "nth", "after", "command")
        data = {key: value for key, value in command.items() if key not in told}
        for key in ("from", "step"):
            if key in data:
                name = data[key]
                ((data[key],),) = self.stack.sql(_STEP, self.id, name, f"%/{name}")
        path = f"/v1/instances/{self.id}/{command['command']}"
        answer = self.stack.client.post(path, json=data)
        assert answer.status_code in (202, 409), answer.text
        self.refused += answer.status_code == 409

    # -- what came of it --------------------

    def outcome(self) -> Outcome:
        """As REST shows it."""
        asked = self.stack.sql(
            "select task from public.asked where namespace = %s order by id", self.namespace
        )
        ids = self.stack.sql(
            "select id::text from orchestrator.instances where namespace = %s order by id",
            self.namespace,
        )
        ended = tuple(self._ended(id) for (id,) in ids)
        return Outcome(tuple(task for (task,) in asked), self.refused, ended)

    def _get(self, path: str, **params: Any) -> Any:
        answer = self.stack.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _ended(self, id: str) -> Ended:
        shown = self._get(f"/v1/instances/{id}")
        steps = self._get(f"/v1/instances/{id}/steps", limit=200)["items"]
        letters = self._get("/v1/dead-letters", instance=id)["items"]
        names = {step["id"]: name_of(step["reference"]) for step in steps}
        return Ended(
            shown["status"],
            shown["compensation"],
            shown["run"],
            shown["output"],
            error_of(shown["error"]),
            len(letters),
            tuple(_stepped(step, names) for step in steps),
        )


def _stepped(step: dict[str, Any], names: dict[int, str]) -> Stepped:
    return Stepped(
        names[step["id"]],
        step["kind"],
        step["index"],
        step["status"],
        step["outcome"] == "unknown",
        names.get(step["compensates"]),
        tuple(
            f"({one['state']})" if one["withdrawn"] else one["state"] for one in step["attempts"]
        ),
    )
