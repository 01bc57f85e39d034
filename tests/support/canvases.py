"""Canvases that must come out alike on Celery itself and as workflows, and their comparison.

A canvas is a function of a *tag*: its tasks note what they do under it. So both runs of a canvas
can be told apart, and many may run at the same time.
"""

from __future__ import annotations

import json
import random
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import celery.exceptions
import redis
from celery import chain, chord, group
from celery.result import GroupResult

from orchestrator.canvas import DurableResult, durable

Factory = Callable[[str], Any]

#: Seconds after the end of all workflows of a batch until Celery's own canvases that have not
#: ended count as lost: it never ends them.
LOST_AFTER = 5.0


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its value, or class and arguments of its exception, and its notes."""

    value: Any = None
    raised: str | None = None
    notes: tuple[str, ...] = ()
    lost: bool = False


def outcome(get: Callable[[], Any]) -> Outcome:
    """Wait for a run."""
    try:
        return Outcome(get())
    except celery.exceptions.TimeoutError:
        return Outcome(lost=True)
    except Exception as error:  # noqa: BLE001  any class may come out
        kind = type(error)
        return Outcome(raised=f"{kind.__module__}.{kind.__name__}{error.args!r}")


class Both:
    """Runs canvases on Celery and as workflows."""

    def __init__(self, server: redis.Redis, client: Any) -> None:
        self.server, self.client = server, client
        self.number = 0

    def run(self, canvases: Mapping[str, Factory]) -> dict[str, tuple[Outcome, Outcome]]:
        """Run all of them at the same time; return ``(Celery's outcome, the workflow's)``."""
        self.number += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            started = {name: self._start(name, factory) for name, factory in canvases.items()}
            ended = {
                name: outcome(lambda: ours.get(timeout=90))  # noqa: B023  called at once
                for name, (_, _, ours) in started.items()
            }
            deadline = time.monotonic() + LOST_AFTER
            return {
                name: self._pair(tags, theirs, ended[name], deadline)
                for name, (tags, theirs, _) in started.items()
            }

    def _start(self, name: str, factory: Factory) -> tuple[list[str], Any, DurableResult]:
        tags = [f"{who}{self.number}:{name}" for who in ("celery", "durable")]
        theirs = factory(tags[0]).apply_async()
        return tags, theirs, durable(factory(tags[1]), client=self.client).start()

    def _pair(
        self, tags: list[str], theirs: Any, ours: Outcome, deadline: float
    ) -> tuple[Outcome, Outcome]:
        while not settled(theirs) and time.monotonic() < deadline:
            time.sleep(0.05)  # between two looks: a group's `get` ignores its timeout
        other = outcome(lambda: result_of(theirs))
        notes = self._settled(tags)
        return replace(other, notes=notes[0]), replace(ours, notes=notes[1])

    def _settled(self, tags: list[str]) -> list[tuple[str, ...]]:
        """The notes of both runs; callbacks may come after the result."""
        deadline = time.monotonic() + 3
        while True:
            found = [self._notes(tag) for tag in tags]
            if found[0] == found[1] or time.monotonic() > deadline:
                return found
            time.sleep(0.02)  # between two looks

    def _notes(self, tag: str) -> tuple[str, ...]:
        found: Any = self.server.lrange(f"canvas:{tag}", 0, -1)
        return tuple(sorted(note.decode() for note in found))


def settled(result: Any) -> bool:
    """Whether Celery's result has come: of a group all, or one failure."""
    if isinstance(result, GroupResult):
        states = [settled(child) for child in result.results or ()]
        return all(states) or failure_of(result) is not None
    return bool(result.ready()) or failure_of(result) is not None


def failure_of(result: Any) -> Any:
    """The failed result in a result, its parents and its members; None without one."""
    if isinstance(result, GroupResult):
        return next(filter(None, map(failure_of, result.results or ())), None)
    while result is not None:
        if isinstance(result, GroupResult):
            return failure_of(result)
        if result.failed():
            return result
        result = result.parent
    return None


def result_of(result: Any) -> Any:
    """The value of a result that has come. Raises the failure, or TimeoutError."""
    failed = failure_of(result)
    if failed is not None:
        return failed.get(timeout=2)
    if not settled(result):
        raise celery.exceptions.TimeoutError
    return result.get(timeout=5)


def agree(theirs: Outcome, ours: Outcome) -> bool:
    """Whether a workflow gave Celery's result, apart from what Celery itself gets wrong.

    Celery loses the failure of some nested chords and never ends them, and of others it quotes the
    exception in a ChordError: there the workflow raises the exception itself. What follows a chord
    whose body is a group Celery runs once for each member of that group, with one member's result;
    the workflow runs it once, with the list. The same tasks ran in any case.
    """
    if set(theirs.notes) != set(ours.notes) or repeats(ours):
        return False
    if repeats(theirs):
        return True
    if theirs.lost:
        return ours.raised is not None
    if ours.raised is not None and (theirs.raised or "").startswith("celery.exceptions.ChordError"):
        return _call(ours.raised) in (theirs.raised or "").replace("\\'", "'")
    return theirs == ours


def repeats(one: Outcome) -> bool:
    """Whether a task ran twice. Every note of a canvas is another one."""
    return len(set(one.notes)) < len(one.notes)


def _call(raised: str) -> str:
    """The text of an exception without its module: ``Declined('t1', 'x')``."""
    name, _, arguments = raised.partition("(")
    return f"{name.rpartition('.')[2]}({arguments}"


def differences(pairs: Mapping[str, tuple[Outcome, Outcome]]) -> list[str]:
    """What came out differently, as texts."""
    return [
        f"{name}\n    Celery  {theirs}\n    durable {ours}"
        for name, (theirs, ours) in pairs.items()
        if not agree(theirs, ours)
    ]


# -- written by hand ---------------------------------------------------------


def written(tasks: Any) -> dict[str, Factory]:
    """Sixty canvases of the module `tests.celery_apps.canvas_tasks`."""
    t = tasks
    tomorrow = date(2026, 1, 2)

    def linked(signature: Any, callback: Any) -> Any:
        signature.link(callback)
        return signature

    return {
        # values
        "types come out of a task": lambda _: chain(t.typed.s(), t.kinds.s()),
        "types come out of a canvas": lambda _: t.typed.s(),
        "a decimal times two": lambda _: chain(t.same.s(Decimal("1.10")), t.mul.s(2)),
        "a decimal as an argument": lambda _: t.mul.s(Decimal("1.10"), 3),
        "a date and a day": lambda _: chain(t.same.s(tomorrow), t.tomorrow.s()),
        "bytes": lambda _: chain(t.same.s(b"\x00\xff"), t.size.s()),
        "a moment in a list": lambda _: chain(
            t.same.s([datetime(2026, 1, 2, tzinfo=UTC)]), t.show.s()
        ),
        "a tuple becomes a list": lambda _: chain(t.same.s((1, (2,))), t.kinds.s()),
        "numbers as keys": lambda _: chain(t.same.s({1: "a", None: "b"}), t.show.s()),
        "a text that looks like an expression": lambda _: t.show.s("${ .secret }", x="${ 1 }"),
        "none goes on": lambda _: chain(t.nothing.s(), t.show.s()),
        "beyond 64 bits": lambda _: chain(t.same.s(-(2**70)), t.add.s(1)),
        "half a megabyte": lambda _: chain(t.same.s("x" * 500_000), t.size.s()),
        "an object of a thousand keys": lambda _: chain(
            t.same.s({f"k{n}": n for n in range(1000)}), t.size.s()
        ),
        "unusual keywords": lambda _: t.show.s(**{"a-b": 1, "class": 2, "é": 3}),
        # chains
        "a task alone": lambda _: t.add.s(1, 2),
        "a chain of one": lambda _: chain(t.add.s(1, 2)),
        "a chain of two hundred": lambda _: chain(t.add.s(0, 1), *[t.add.s(n) for n in range(199)]),
        "long rows between others": lambda _: chain(
            t.count.s(3), t.size.s(), *[t.mul.s(2) for _ in range(9)], t.show.s("end")
        ),
        "immutable ones in a row": lambda tag: chain(
            t.note.si(tag, 1), t.note.si(tag, 2), t.add.si(3, 4)
        ),
        "keyword arguments in a chain": lambda _: chain(t.add.s(1, y=2), t.show.s(z=3)),
        "partial arguments": lambda _: chain(t.show.s("a"), t.show.s("b"), t.show.s()),
        "chains in chains": lambda _: chain(
            chain(t.add.s(1, 1), t.mul.s(2)), chain(t.add.s(3), chain(t.mul.s(4)))
        ),
        "by the operator": lambda _: t.add.s(1, 1) | t.mul.s(2) | t.add.s(3),
        "a retry": lambda _: chain(t.tries.s("x"), t.show.s()),
        "a retry with other arguments": lambda _: chain(t.other_arguments.s(3), t.show.s()),
        "a countdown": lambda _: chain(t.add.s(1, 1), t.add.s(1).set(countdown=0.2)),
        "a silent task": lambda _: chain(t.silent.s(1), t.silent.s(), t.show.s()),
        # groups
        "a group of one": lambda _: group(t.add.s(1, 1)),
        "an empty group": lambda _: group(),
        "a group of a hundred": lambda _: group(t.mul.s(n, n) for n in range(100)),
        "unlike members": lambda _: group(t.add.s(1, 1), t.mul.s(2, 3), t.show.s(a=1)),
        "groups in a group": lambda _: group(t.add.s(1, 1), group(t.add.s(2, 2), t.mul.s(3, 3))),
        "chains in a group": lambda _: group(chain(t.add.s(n, 1), t.mul.s(n)) for n in range(5)),
        "a group at the end": lambda _: chain(t.add.s(1, 1), group(t.mul.s(n) for n in range(3))),
        "a group of one in a chain": lambda _: chain(t.add.s(1, 1), group(t.mul.s(3)), t.show.s()),
        "groups after groups": lambda _: chain(
            group(t.add.s(1, 1), t.add.s(2, 2)), group(t.total.s(), t.size.s()), t.total.s()
        ),
        "an empty group in a chain": lambda _: chain(t.add.s(1, 1), group(), t.show.s()),
        "a group in a chain in a group": lambda _: group(
            chain(t.add.s(1, 1), group(t.add.s(1), t.mul.s(2))), t.add.s(3, 3)
        ),
        # chords
        "a chord": lambda _: chord([t.add.s(1, 1), t.add.s(2, 2)], t.total.s()),
        "a chord of unlike members": lambda _: chord([t.add.s(1, 1), t.mul.s(2, 2)], t.show.s("x")),
        "a chord of one": lambda _: chord([t.add.s(1, 1)], t.show.s()),
        "an empty chord": lambda _: chord([], t.show.s(1)),
        "a chord in a header": lambda _: chord(
            [chord([t.add.s(1, 1), t.add.s(2, 2)], t.total.s()), t.add.s(3, 3)], t.total.s()
        ),
        "a chord after a task": lambda _: chain(
            t.count.s(4), t.total.s(), chord([t.add.s(1), t.mul.s(2)], t.total.s()), t.show.s()
        ),
        "a body of a chain": lambda _: chord(
            [t.add.s(1, 1), t.add.s(2, 2)], chain(t.total.s(), t.mul.s(3), t.show.s())
        ),
        "a body of a group": lambda _: chord(
            [t.add.s(1, 1), t.add.s(2, 2)], group(t.total.s(), t.size.s())
        ),
        # maps
        "a map": lambda _: t.same.map([1, 2, 3]),
        "a starmap in a chain": lambda _: chain(t.add.starmap([(1, 2), (3, 4)]), t.total.s()),
        "chunks": lambda _: t.add.chunks([(n, n) for n in range(7)], 3).group(),
        # failures
        "an exception of one's own": lambda tag: chain(t.decline.s(), t.note.si(tag, "after")),
        "after the last retry": lambda _: chain(t.gives_up.s(7), t.show.s()),
        "a member fails": lambda tag: group(
            t.note.s(tag, 1), t.fail.s("two"), t.note.s(tag, 3), t.note.s(tag, 4)
        ),
        "a header fails": lambda tag: chord(
            [t.note.s(tag, 1), t.fail.s("two"), t.note.s(tag, 3)], t.note.si(tag, "body")
        ),
        "a body fails": lambda tag: chain(
            chord([t.note.s(tag, 1), t.note.s(tag, 2)], t.fail.s()), t.note.si(tag, "after")
        ),
        # callbacks
        "a callback": lambda tag: t.add.s(1, 1).set(link=[t.linked.s(tag)]),
        "a callback in a chain": lambda tag: chain(
            t.add.s(1, 1).set(link=[t.linked.s(tag, "first")]), t.mul.s(3)
        ),
        "a callback of a chain": lambda tag: linked(
            chain(t.add.s(1, 1), t.mul.s(3)), t.linked.s(tag)
        ),
        "a callback of a chord": lambda tag: linked(
            chord([t.add.s(1, 1), t.add.s(2, 2)], t.total.s()), t.linked.s(tag)
        ),
        "a callback of a group": lambda tag: linked(
            group(t.add.s(1, 1), t.add.s(2, 2)), t.linked.si("first", tag)
        ),
        "a callback that fails": lambda _: t.add.s(1, 1).set(link=[t.fail.s()]),
        "callbacks that are chains": lambda tag: t.add.s(1, 1).set(
            link=[chain(t.mul.s(5), t.linked.s(tag, "end"))]
        ),
        "an error callback with an id": lambda tag: chain(t.add.s(1, 1), t.decline.s()).on_error(
            t.on_id.s(tag)
        ),
        "an error callback with an exception": lambda tag: chain(
            t.add.s(1, 1), t.decline.s(amount=3)
        ).on_error(t.on_error.s(tag=tag)),
        "an error callback that fails": lambda _: t.decline.s().on_error(t.fail.s()),
        "the error callback of a chord": lambda tag: chord(
            [t.add.s(1, 1), t.decline.s()], t.total.s()
        ).on_error(t.on_id.s(tag)),
        # replacement
        "replaced by a task": lambda _: chain(t.replaced_by_task.s(1), t.show.s()),
        "replaced by a chain": lambda _: chain(t.replaced_by_chain.s(1), t.show.s()),
        "replaced by a group": lambda _: chain(t.replaced_by_group.s(1), t.total.s()),
        "replaced by a group at the end": lambda _: t.replaced_by_group.s(1),
        "replaced by a chord": lambda _: chain(t.replaced_by_chord.s(1), t.mul.s(2)),
        "replaced by a failure": lambda tag: chain(
            t.replaced_by_failure.s(1), t.note.si(tag, "after")
        ),
        "replaced in a group": lambda _: chord(
            [t.replaced_by_chain.s(1), t.replaced_by_task.s(2)], t.total.s()
        ),
    }


# -- generated ---------------------------------------------------------------


class Generator:
    """Random canvases of `fold`, whose result depends on every value before it, and `break_`."""

    def __init__(self, tasks: Any, seed: int) -> None:
        self.tasks = tasks
        self.seed = seed

    def factory(self) -> Factory:
        """One canvas, the same for every tag."""
        leaves = self._count()
        broken = _Broken(random.Random(f"{self.seed}/broken"), leaves)
        return lambda tag: _Builder(self.tasks, self.seed, broken.at, tag).canvas()

    def _count(self) -> int:
        builder = _Builder(self.tasks, self.seed, None, "count")
        builder.canvas()
        return builder.leaves


class _Broken:
    """Which leaf fails: none in one of three canvases, else each with the same probability."""

    def __init__(self, chance: random.Random, leaves: int) -> None:
        self.at = None if chance.random() < 0.34 else chance.randrange(leaves)


class _Builder:
    def __init__(self, tasks: Any, seed: int, broken: int | None, tag: str) -> None:
        self.tasks, self.broken, self.tag = tasks, broken, tag
        self.chance = random.Random(seed)
        self.leaves = 0

    def canvas(self) -> Any:
        return self._any(4)

    def _leaf(self, immutable: bool | None = None) -> Any:
        number, self.leaves = self.leaves, self.leaves + 1
        task = self.tasks.break_ if number == self.broken else self.tasks.fold
        own = [f"a{n}" for n in range(self.chance.choice((0, 0, 1, 2)))]
        if immutable is None:
            immutable = self.chance.random() < 0.15
        make = task.si if immutable else task.s
        return make(*own, label=f"t{number}", tag=self.tag)

    def _any(self, depth: int, *, in_group: bool = False) -> Any:
        kinds = ["leaf", "chain", "chain", "chord"] + ([] if in_group else ["group"])
        kind = self.chance.choice(kinds if depth < 4 else kinds[1:])
        if depth == 1:
            kind = "leaf"
        if kind == "leaf":
            return self._leaf()
        parts = self.chance.randint(1 if kind == "group" else 2, 3)
        if kind == "chain":
            return chain(*[self._any(depth - 1) for _ in range(parts)])
        members = [self._any(depth - 1, in_group=True) for _ in range(parts)]
        if kind == "group":
            return group(members)
        return chord(members, self._any(depth - 1) if depth > 2 else self._leaf())


def generated(tasks: Any, seeds: Iterable[int]) -> dict[str, Factory]:
    """Canvases by their seed."""
    return {f"seed {seed}": Generator(tasks, seed).factory() for seed in seeds}


def shown(pairs: Mapping[str, tuple[Outcome, Outcome]]) -> str:
    """A summary, as JSON."""
    outcomes = [theirs for theirs, _ in pairs.values()]
    return json.dumps(
        {
            "canvases": len(outcomes),
            "failed": sum(one.raised is not None for one in outcomes),
            "lost by Celery": sum(one.lost for one in outcomes),
            "repeated by Celery": sum(repeats(one) for one in outcomes),
            "quoted in a ChordError": sum("ChordError" in (one.raised or "") for one in outcomes),
            "equal": sum(theirs == ours for theirs, ours in pairs.values()),
            "alike": sum(agree(theirs, ours) for theirs, ours in pairs.values()),
        }
    )
