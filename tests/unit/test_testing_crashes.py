"""`crash_everywhere`: finds planted double effects and effects that are left; none in their twins.

Each planted workflow has a correct twin that differs in one thing only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from orchestrator import current_step
from orchestrator.testing import (
    CrashReport,
    TestingError,
    UnknownTask,
    Workflows,
    effect,
    raises,
    sequence,
)
from tests.support.documents import Body, doc

Stubs = dict[str, Any]


def key() -> str:
    """The step's idempotency key."""
    step = current_step()
    assert step is not None
    return step.idempotency_key


@dataclass
class Planted:
    """A workflow with a mistake, and the same without it."""

    wrong: tuple[Body, Stubs]
    right: tuple[Body, Stubs]
    effect: str
    options: dict[str, Any] = field(default_factory=dict)


def called(name: str, undo: Body | None = None, **metadata: Any) -> Body:
    more = {"compensate": undo} if undo is not None else {}
    given = {**metadata, **more}
    return {"call": name, **({"metadata": given} if given else {})}


def undo(name: str, *, unknown: bool = False, **arguments: Any) -> Body:
    return {"call": name, "with": arguments, **({"onUnknown": True} if unknown else {})}


def plain(name: str, **details: Any) -> Callable[..., Any]:
    """A fake of a service that knows no keys."""
    return lambda **_: effect(name, undoable=False, **details)


def keyed(name: str, **details: Any) -> Callable[..., Any]:
    """A fake of a service that knows idempotency keys."""
    return lambda **_: effect(name, key=key(), undoable=False, **details)


class Payments:
    """A payment service with charges that can be undone."""

    @staticmethod
    def charge(**_: Any) -> str:
        return effect("charge", key=key(), order=1)

    @staticmethod
    def refund(charge: str | None = None) -> None:
        effect("refund", undoes=charge or "charge", key=key(), order=1)

    @staticmethod
    def refund_known(charge: str | None = None) -> None:
        if charge is not None:
            effect("refund", undoes=charge, key=key(), order=1)


FAILS = {"raise": {"error": {"type": "https://a.example/x", "status": 500, "title": "X"}}}
ONE = doc({"a": called("a")})
REFUND = undo("refund", charge="${ $output }", unknown=True)


def step_key_but_attempts_number() -> str:
    step = current_step()
    assert step is not None
    return effect("mail", key=f"{step.idempotency_key}:{step.attempt}", undoable=False)


def second_without_key() -> None:
    effect("pay", key=key(), undoable=False)
    effect("mail", undoable=False)


def second_with_key() -> None:
    effect("pay", key=key(), undoable=False)
    effect("mail", key=key(), undoable=False)


def loop(fake: Callable[..., Any]) -> tuple[Body, Stubs]:
    each = {"for": {"each": "n", "in": "${ [1, 2] }"}, "do": [{"a": called("a")}]}
    return doc({"each": each}), {"a": fake}


def fork(fake: Callable[..., Any]) -> tuple[Body, Stubs]:
    branches = [{"a": called("a")}, {"b": called("b")}]
    return doc({"all": {"fork": {"branches": branches}}}), {"a": fake, "b": None}


def in_function(fake: Callable[..., Any]) -> tuple[Body, Stubs]:
    return doc({"f": {"call": "pays"}}, use={"functions": {"pays": called("a")}}), {"a": fake}


def compensation(fake: Callable[..., Any]) -> tuple[Body, Stubs]:
    return doc({"a": called("a", undo("u"))}, {"x": FAILS}), {"a": None, "u": fake}


def handler(fake: Callable[..., Any]) -> tuple[Body, Stubs]:
    block = {"try": [{"x": FAILS}], "catch": {"do": [{"a": called("a")}]}}
    return doc({"t": block}), {"a": fake}


def new_key_in_each_try(rollback: bool) -> tuple[Body, Stubs]:
    """A lost step of a `try` is run again under a new key."""
    block: Body = {
        "try": [{"a": called("charge", REFUND)}],
        "catch": {"retry": {"limit": {"attempt": {"count": 2}}}},
        "metadata": {"rollback": rollback},
    }
    return doc({"t": block}), {"charge": Payments.charge, "refund": Payments.refund}


def own_key(name: str) -> Callable[..., Any]:
    """A key that is made anew at each start."""
    count = iter(range(10**6))
    return lambda **_: effect("mail", key=f"{name}-{next(count)}", undoable=False)


def by_http(headers: Body) -> tuple[Body, Stubs]:
    with_ = {"method": "post", "endpoint": "https://pay.example/charges", "headers": headers}
    return doc({"a": {"call": "http", "with": with_}}), {}


HTTP = {"http": {"POST https://pay.example/charges": {"id": 1}}}


def partial(done: set[int], *, checks: bool) -> Callable[..., Any]:
    """A task of several mails that remembers what it has sent, or does not."""

    def mails() -> None:
        for number in (1, 2, 3):
            if checks and number in done:
                continue
            # The memory of a service is written with the effect.
            done.add(number)
            effect("mail", number=number, undoable=False)

    return mails


SENT: set[int] = set()

DOUBLES = {
    "no key": Planted((ONE, {"a": plain("mail")}), (ONE, {"a": keyed("mail")}), "mail"),
    "a key of the attempt": Planted(
        (ONE, {"a": step_key_but_attempts_number}), (ONE, {"a": keyed("mail")}), "mail"
    ),
    "a key made at each start": Planted(
        (ONE, {"a": own_key("k")}), (ONE, {"a": keyed("mail")}), "mail"
    ),
    "the second effect without a key": Planted(
        (ONE, {"a": second_without_key}), (ONE, {"a": second_with_key}), "mail"
    ),
    "in a loop": Planted(loop(plain("mail")), loop(keyed("mail")), "mail"),
    "in a fork": Planted(fork(plain("mail")), fork(keyed("mail")), "mail"),
    "in a function": Planted(in_function(plain("mail")), in_function(keyed("mail")), "mail"),
    "in a compensation": Planted(compensation(plain("mail")), compensation(keyed("mail")), "mail"),
    "in a handler": Planted(handler(plain("mail")), handler(keyed("mail")), "mail"),
    "a retried block without rollback": Planted(
        new_key_in_each_try(False), new_key_in_each_try(True), "charge"
    ),
    "a request without a key": Planted(
        by_http({}), by_http({"Idempotency-Key": "${ $workflow.id }"}), "POST", HTTP
    ),
    "no memory of what was sent": Planted(
        (ONE, {"a": partial(SENT, checks=False)}),
        (ONE, {"a": partial(SENT, checks=True)}),
        "mail",
        {"before_each": SENT.clear},
    ),
}

PAYS = {"charge": Payments.charge, "refund": Payments.refund, "ship": None}


def order(undoing: Body | None, **metadata: Any) -> Body:
    return doc({"charge": called("charge", undoing, **metadata)}, {"ship": called("ship")})


def caught(undoing: Body) -> Body:
    """The loss of a charge is caught, and the order completes without it."""
    block: Body = {
        "try": [{"charge": called("charge", undoing)}],
        "catch": {"do": [{"invoice": {"set": {"by": "invoice"}}}]},
        "metadata": {"rollback": True},
    }
    return doc({"pay": block})


LEFT = {
    "an unknown outcome is not undone": Planted(
        (order(undo("refund", charge="${ $output }")), PAYS), (order(REFUND), PAYS), "charge"
    ),
    "the refund needs what an unknown outcome lacks": Planted(
        (order(REFUND), {**PAYS, "refund": Payments.refund_known}), (order(REFUND), PAYS), "charge"
    ),
    "no compensation": Planted((order(None), PAYS), (order(REFUND), PAYS), "charge"),
    "a caught loss": Planted(
        (caught(undo("refund", charge="${ $output }")), PAYS), (caught(REFUND), PAYS), "charge"
    ),
}


def crashed(planted: tuple[Body, Stubs], options: dict[str, Any], **more: Any) -> CrashReport:
    document, tasks = planted
    return Workflows(tasks=tasks).crash_everywhere(document, **options, **more)


@pytest.mark.parametrize("name", DOUBLES)
def test_planted_double_effects_are_found_and_their_twins_have_none(name: str):
    planted = DOUBLES[name]
    report = crashed(planted.wrong, planted.options)
    assert [one for one in report.twice if one.effect.name.startswith(planted.effect)], report
    twin = crashed(planted.right, planted.options)
    assert twin.ok, twin
    assert twin.deaths > 5


@pytest.mark.parametrize("name", LEFT)
def test_planted_charges_that_nobody_refunds_are_found_and_their_twins_have_none(name: str):
    planted = LEFT[name]
    report = crashed(planted.wrong, planted.options)
    assert [one.effect.name for one in report.left] == [planted.effect], report
    assert not report.twice
    twin = crashed(planted.right, planted.options)
    assert twin.ok, twin


def test_there_are_twelve_and_four():
    assert (len(DOUBLES), len(LEFT)) == (12, 4)


@pytest.mark.parametrize("fork", [False, True])
def test_a_process_is_really_killed(fork: bool, tmp_path: Path):
    """A `finally` runs where the death is an exception, and not where the process is killed."""
    log = tmp_path / "log"

    def charge() -> str:
        with log.open("a") as file:
            file.write("b")
        try:
            return effect("charge", order=1)
        finally:
            with log.open("a") as file:
                file.write("e")

    tasks = {"a": charge, "refund": Payments.refund}
    document = doc({"a": called("a", REFUND)})
    report = Workflows().crash_everywhere(document, tasks=tasks, fork=fork)
    assert [one.effect.name for one in report.twice] == ["charge"]
    began, ended = (log.read_text().count(letter) for letter in "be")
    assert began > ended if fork else began == ended


def test_the_report_says_what_where_and_when():
    planted = LEFT["an unknown outcome is not undone"]
    report = crashed(planted.wrong, {})
    text = str(report)
    assert "left:  charge(order=1) of 'charge', and the run ended faulted:" in text
    assert "the worker of 'charge' died after its effect 1, at every start" in text
    assert report.statuses["completed"] > 0
    assert report.statuses["faulted"] > 0
    assert not report.ok


def test_a_compensation_that_always_dies_is_told_to_a_person():
    report = crashed((order(REFUND), PAYS), {})
    assert [one.effect.name for one in report.told] == ["charge"]
    assert "has a dead letter" in str(report)
    assert "nothing happened twice, nothing was left" in str(report)


def test_effects_without_a_death_are_judged_too():
    """A task that retries itself after its effect."""
    stub = sequence(lambda: (effect("mail", undoable=False), 1 / 0))
    block: Body = {
        "try": [{"a": called("a")}],
        "catch": {"retry": {"limit": {"attempt": {"count": 1}}}, "do": [{"s": {"set": {"n": 1}}}]},
    }
    report = Workflows().crash_everywhere(doc({"t": block}), tasks={"a": stub})
    assert report.runs > 1
    failing = order(None)
    workflows = Workflows(tasks={**PAYS, "ship": raises(KeyError("x"))})
    report = workflows.crash_everywhere(failing)
    assert report.left[0].when == "without a death"


def test_a_run_that_waits_is_driven():
    listens = {"listen": {"to": {"one": {"with": {"type": "paid"}}}}}
    document = doc({"wait": listens}, {"a": called("a")})
    tasks = {"a": plain("mail")}
    report = Workflows().crash_everywhere(document, tasks=tasks)
    assert report.stuck == ["the instance is waiting: without a death"]
    report = Workflows().crash_everywhere(
        document, tasks=tasks, drive=lambda run: run.send("paid", 1).finish()
    )
    assert not report.stuck
    assert report.twice


def test_retries_of_the_document_and_real_tasks_die_too():
    app = Celery("shop", broker="memory://", set_as_current=False)

    @app.task(name="crash.charge", shared=False, bind=True, max_retries=2)
    def charge(self: Any) -> str:
        if self.request.retries == 0:
            raise self.retry(countdown=1)
        return effect("charge", order=1, undoable=False)

    report = Workflows(app).crash_everywhere(doc({"a": called("crash.charge")}))
    assert report.twice
    app.close()


def test_sub_workflows_die_too():
    workflows = Workflows(tasks={"a": plain("mail")})
    workflows.add(doc({"a": called("a")}, about={"name": "child"}))
    sub = {"run": {"workflow": {"namespace": "test", "name": "child", "version": "1.0.0"}}}
    report = workflows.crash_everywhere(doc({"sub": sub}))
    assert [one.step for one in report.twice] == ["'a'"]


def test_a_ledger_answers_a_repeated_key_as_before():
    workflows = Workflows()
    answers: list[str] = []

    def charge() -> None:
        answers.extend(effect("charge", key="k", amount=5) for _ in range(2))
        effect("refund", undoes="charge", amount=5)

    workflows.run(ONE, tasks={"a": charge})
    assert answers[0] == answers[1]
    ledger = workflows.ledger
    assert [one.name for one in ledger.happened()] == ["charge", "refund"]
    assert not ledger.live("charge")


def test_mistakes_of_the_test_are_raised():
    with pytest.raises(TestingError, match="no step of one runs here"):
        effect("charge")
    with pytest.raises(UnknownTask):
        Workflows().crash_everywhere(ONE)


@pytest.fixture(autouse=True)
def _sent() -> None:
    SENT.clear()
