"""A task sees the same as a step and in a plain Celery worker: the same tasks run in both and
record all that they can see. Only the members listed in docs/task_execution_layer.md may differ."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from celery import Celery

from orchestrator.celery_versions import CELERY
from orchestrator.ids import new_id
from tests.support.zoo import Zoo, zoo_on

Note = dict[str, Any]

PAGE = Path(__file__).parents[2] / "docs" / "task_execution_layer.md"
UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: The worker's name in both runs, since a task sees it.
NAME = ("-n", "worker@test")


@dataclass(frozen=True)
class Case:
    """A call, and the number of runs of its task and of its replacement."""

    task: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    args: tuple[Any, ...] = ()
    runs: int = 1


CASES = {
    "returns": Case("witness", {"a": 1}),
    "fails": Case("witness", {"a": 1, "fail": True}),
    "retries": Case("witness", {"a": 1, "until": 3}, runs=3),
    "retries and fails": Case("witness", {"a": 1, "until": 2, "fail": True}, runs=2),
    "plain": Case("plain", {"a": 1}),
    "positional": Case("positional", {"d": 6}, (1, 2)),
    "classy": Case("classy", {"a": 1}),
    "own call": Case("calling", {"a": 1}),
    "hooks": Case("hooked", {"a": 1}),
    "hooks of a failure": Case("hooked", {"a": 1, "fail": True}),
    "refused before the start": Case("hooked", {"a": 1, "refuse": True}),
    "throws": Case("throws"),
    "autoretry": Case("autoretry", {"key": "KEY"}, runs=3),
    "retries with others": Case("retries_with", {"a": 1}, runs=3 if CELERY >= (5, 7) else 1),
    "a quiet retry": Case("retries_quietly", {"key": "KEY"}, runs=2),
    "ignores": Case("ignores"),
    "rejects": Case("rejects", {"key": "KEY"}),
    "a hard limit": Case("limited"),
    "a soft limit": Case("softly"),
    "a rate limit": Case("limited_rate", {"a": 1}),
    "acknowledges late": Case("late", {"a": 1}),
    "keeps its result": Case("keeps_result", {"a": 1}),
    "replaces": Case("replaces", {"a": 2}, runs=2),
    "calls another": Case("calls_another", {"a": 1}, runs=2),
}


def may_differ() -> set[str]:
    """Return the members of a request that may differ according to the page."""
    section = PAGE.read_text().partition("### What differs")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


@pytest.fixture(scope="module")
def zoo(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str, module_broker_url: str
) -> Iterator[Zoo]:
    """The product with one worker, which continues with steps where it may."""
    folder = tmp_path_factory.mktemp("inside")
    with zoo_on(folder, module_database_url, module_broker_url, lease=10) as zoo:
        zoo.environment.update(ZOO_OBSERVE="1", ZOO_SIGNALS="")
        more = {"ORCHESTRATOR_CONTINUATION_BUDGET": 5}
        zoo.worker("steps", concurrency=1, arguments=NAME, env=more)
        yield zoo


@pytest.fixture(scope="module")
def plain(zoo: Zoo) -> Iterator[Celery]:
    """The same app in a plain Celery worker, on a broker of its own."""
    url = urlunsplit(urlsplit(zoo.stack.broker_url)._replace(path="/5"))
    more = {"ORCHESTRATOR_BROKER_URL": url, "ZOO_PLAIN": "1"}
    zoo.worker("plain", concurrency=1, arguments=NAME, env=more)
    with Celery("sender", broker=url, set_as_current=False) as app:
        yield app


def record_runs(zoo: Zoo, start: Callable[[], Any], runs: int) -> list[Note]:
    """Call `start`; return the records until `runs` runs have ended."""
    zoo.seen_in_redis.delete("zoo")
    start()
    zoo.stack.until(lambda: len(zoo.seen("postrun")) >= runs, f"{runs} runs are over")
    return zoo.seen()


def with_named_ids(notes: list[Note]) -> list[Note]:
    """Return the records, the task's own id and other ids replaced by names."""
    first = next(note["id"] for note in notes if "id" in note)
    found = []
    for note in notes:
        text = json.dumps(note).replace(note.get("id", first), "its own id")
        found.append(json.loads(UUID.sub("another id", text)))
    return found


def differences(control: list[Note], steps: list[Note]) -> dict[str, list[Any]]:
    """Return the differing members of requests; assert that everything else is equal."""
    assert [note["what"] for note in steps] == [note["what"] for note in control]
    found: dict[str, list[Any]] = {}
    for without, within in zip_longest(with_named_ids(control), with_named_ids(steps)):
        before, after = without.pop("request", {}), within.pop("request", {})
        assert within == without
        for name in {*before, *after}:
            if name == "delivery_info":
                assert after[name].keys() == before[name].keys()
            if before.get(name) != after.get(name):
                found.setdefault(name, []).append((before.get(name), after.get(name)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_step_looks_from_inside_as_its_task_does_without_us(
    zoo: Zoo, plain: Celery, name: str
) -> None:
    case = CASES[name]
    task = f"zoo.{case.task}"

    def kwargs() -> dict[str, Any]:
        return {**case.kwargs, **({"key": new_id()} if "key" in case.kwargs else {})}

    def as_step(*before: dict[str, Any]) -> None:
        head = {"dsl": "1.0.3", "namespace": "zoo", "name": f"n{new_id()}", "version": "1.0.0"}
        call = {"task": task, "args": list(case.args), "kwargs": kwargs()}
        do = [*before, {"s": {"call": "celery", "with": call}}]
        zoo.stack.wait(zoo.stack.start(zoo.stack.deploy({"document": head, "do": do})))

    control = record_runs(
        zoo, lambda: plain.send_task(task, args=case.args, kwargs=kwargs()), case.runs
    )
    by_message = record_runs(zoo, as_step, case.runs)
    another = {"first": {"call": "zoo.plain", "with": {"a": 0}}}
    continued = record_runs(zoo, lambda: as_step(another), case.runs + 1)
    of_another = [note["what"] for note in continued].index("postrun") + 1
    different = [
        differences(control, by_message),
        differences(control, continued[of_another:]),
    ]
    allowed = may_differ()
    assert allowed, "the page has its list"
    unlisted = [
        {name: pairs for name, pairs in found.items() if name not in allowed} for found in different
    ]
    assert unlisted == [{}, {}]
    if name == "retries":
        assert {*different[0], *different[1]} == allowed, "the list names nothing that is the same"
