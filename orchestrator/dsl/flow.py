"""Tasks that contain or order others: do, fork, for, switch, try; and set, raise, wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.dsl.document_task import Task, named_tasks, task
from orchestrator.dsl.expression import Expression
from orchestrator.dsl.policies import Error, Retry
from orchestrator.dsl.values import Duration, condition, data, duration, given

Json = Any


def do(*tasks: Task, **named: Task) -> Task:
    """Return a step that runs tasks one after the other."""
    return task("do", do=named_tasks(tasks, named))


def fork(*branches: Task, compete: bool | None = None, **named: Task) -> Task:
    """Return a step that runs branches at the same time. Its output is the list of theirs; with
    `compete` the output of the first that ends, and the others are withdrawn."""
    made = given(branches=named_tasks(branches, named), compete=compete)
    return task("fork", fork=made)


def for_each(
    variable: str | None,
    items: object,
    /,
    *tasks: Task,
    at: str | None = None,
    while_: Expression | bool | None = None,
    concurrency: int | None = None,
    **named: Task,
) -> Task:
    """Return a step that runs tasks for every item: in them ``variable.NAME`` is the item.

    `at` names the variable with the index. It stops where `while_` does not hold. With
    `concurrency` so many iterations run at the same time.
    """
    loop = given(each=variable, at=at)
    loop["in"] = data(items)
    holds = None if while_ is None else condition(while_)
    body = {"for": loop, **given(while_=holds), "do": named_tasks(tasks, named)}
    made = task("for", **body)
    return made if concurrency is None else made.metadata(concurrency=concurrency)


def case(when: Expression | bool | None, then: str | Task) -> dict[str, Json]:
    """Return one case of a `switch`: where `when` holds, `then` runs next. None: in all others."""
    return given(when=None if when is None else condition(when), then=then)


def switch(**cases: Mapping[str, Json]) -> Task:
    """Return a step that chooses what runs next: ``switch(paid=case(input.paid, "ship"))``.

    The first case that holds decides. Without one, the next task of the list runs.
    """
    return task("switch", switch=[{name: dict(each)} for name, each in cases.items()])


def try_(*tasks: Task, **named: Task) -> Try:
    """Return a step that runs tasks and handles their errors: ``try_(...).catch(...)``."""
    made = task("try", **{"try": named_tasks(tasks, named), "catch": {}})
    return Try(made.word, made.body, place=made.place, key=made.key)


class Try(Task):
    """A `try`. Without `catch` it catches every error and does nothing about it."""

    def catch(
        self,
        *tasks: Task,
        errors: Mapping[str, Json] | None = None,
        as_: str | None = None,
        when: Expression | bool | None = None,
        except_when: Expression | bool | None = None,
        retry: Retry | str | None = None,
        then: str | Task | None = None,
        rethrow: bool | None = None,
        rollback: bool | None = None,
        **named: Task,
    ) -> Try:
        """Say which errors are handled, and how.

        `errors` filters them by members: ``{"status": 503}``. In the tasks `error` is the error,
        or ``variable.NAME`` with ``as_="NAME"``. `retry` is a policy or the name of one. After the
        tasks the error goes on with `rethrow`; with `rollback` the completed steps of the `try`
        are undone before.
        """
        conditions = given(
            when=None if when is None else condition(when),
            exceptWhen=None if except_when is None else condition(except_when),
        )
        handled = given(errors=None if errors is None else {"with": dict(errors)}, as_=as_)
        done = named_tasks(tasks, named) or None
        how = given(retry=retry, do=done, then=then)
        made = self._with(catch={**handled, **conditions, **how})
        metadata = given(rethrow=rethrow, rollback=rollback)
        return made.metadata(**metadata) if metadata else made


def raise_(error: Error | str) -> Task:
    """Return a step that raises an error: ``raise_(error_of(...))``, or one of `use` by its
    name."""
    return task("raise", **{"raise": {"error": data(error)}})


def set_(value: Expression | None = None, /, **values: object) -> Task:
    """Return a step whose output is an object of these values, or one expression."""
    return task("set", set=data(values) if value is None else value)


def wait(time: Duration) -> Task:
    """Return a step that waits: ``wait(timedelta(hours=1))``, ``wait("PT1H")``."""
    return task("wait", wait=duration(time))
