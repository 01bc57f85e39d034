"""Workflows in code: names, results of other steps, compensations, and errors with their lines."""

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from celery import Celery

from orchestrator.canvas import compensated_by, durable
from orchestrator.canvas import expr as canvas_expr
from orchestrator.client import ApiError
from orchestrator.core.model import Status
from orchestrator.dsl import (
    BuildError,
    Workflow,
    any_event,
    call,
    call_by_name,
    call_http,
    case,
    context,
    do,
    emit,
    error,
    error_of,
    event,
    expr,
    for_each,
    fork,
    input,
    iterator,
    listen,
    raise_,
    result,
    retry,
    run_workflow,
    set_,
    steps,
    switch,
    this,
    try_,
    variable,
    wait,
)
from orchestrator.testing.world import World

app = Celery("dsl", set_as_current=False, broker="memory://", backend="cache+memory://")
task: Any = app.task
HERE = Path(__file__).name


@task(name="shop.release", shared=False)
def release(reservation: str) -> None: ...


@task(name="shop.reserve", shared=False)
def reserve(item: str, quantity: int = 1) -> Any: ...


@task(name="shop.refund", shared=False)
def refund(charge: str, note: str = "") -> None: ...


@compensated_by(refund, charge=result.id, note=canvas_expr("$error.title"))
@task(name="shop.charge", shared=False)
def charge(amount: Any, card: str) -> Any: ...


@task(name="shop.positional", shared=False)
def positional(a: Any, /, *rest: Any, b: int = 0) -> Any: ...


@task(name="shop.open", shared=False, bind=True)
def open_(self: Any, a: Any, **rest: Any) -> Any: ...


@task(name="http", shared=False)
def http() -> None: ...


def untyped(value: Any) -> Any:
    return value


def line() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def body(made: Any) -> Any:
    """The one task of a workflow."""
    (item,) = Workflow("shop/order").do(made).document()["do"]
    return item


def order() -> Workflow:
    return Workflow("shop/order").do(
        call(reserve, item=input.item).compensate(release, reservation=result.id),
        call(charge, amount=input.total, card=input.card),
    )


def test_the_example_becomes_the_document_that_one_would_write():
    assert order().document() == {
        "document": {"dsl": "1.0.3", "namespace": "shop", "name": "order", "version": "1.0.0"},
        "do": [
            {
                "reserve": {
                    "call": "shop.reserve",
                    "with": {"item": "${ $workflow.input.item }"},
                    "metadata": {
                        "compensate": {
                            "call": "shop.release",
                            "with": {"reservation": "${ $output.id }"},
                        }
                    },
                }
            },
            {
                "charge": {
                    "call": "shop.charge",
                    "with": {
                        "amount": "${ $workflow.input.total }",
                        "card": "${ $workflow.input.card }",
                    },
                    "metadata": {
                        "compensate": {
                            "call": "shop.refund",
                            "with": {"charge": "${ $output.id }", "note": "${ $error.title }"},
                        }
                    },
                }
            },
        ],
    }
    assert order().check() == []
    assert Workflow.from_yaml(order().to_yaml()).document() == order().document()


def test_a_compensation_of_the_task_can_be_replaced_and_removed():
    of = body(call(charge, 1, "c").compensate(release, "r"))["charge"]["metadata"]["compensate"]
    assert of == {"call": "shop.release", "with": {"reservation": "r"}}
    assert "metadata" not in body(call(charge, 1, "c").compensate_by(None))["charge"]
    kept = body(call(charge, 1, "c").on("payments", priority=7).compensate_by(None))["charge"]
    assert kept["metadata"] == {"queue": "payments", "priority": 7}


def test_an_expression_of_a_compensation_works_in_a_canvas_too():
    (made,) = durable(charge.s(5, "c")).document().document["do"]
    assert made["charge"]["metadata"]["compensate"]["with"]["kwargs"] == {
        "charge": "${ $output.id }",
        "note": "${ $error.title }",
    }


def test_arguments_are_bound_to_the_signature():
    assert body(call(reserve, "book", 2))["reserve"] == {
        "call": "shop.reserve",
        "with": {"item": "book", "quantity": 2},
    }
    assert body(call(positional, 1, 2, b=3))["positional"] == {
        "call": "celery",
        "with": {"task": "shop.positional", "args": [1, 2], "kwargs": {"b": 3}},
    }
    assert body(call(open_, 1, more=2))["open"]["with"] == {"a": 1, "more": 2}
    assert body(call_by_name("shop.unknown", 1))["unknown"]["with"] == {
        "task": "shop.unknown",
        "args": [1],
    }
    assert body(call(http))["http"] == {"call": "celery", "with": {"task": "http"}}


WRONG: list[tuple[Any, str]] = [
    (lambda: call(reserve, itm="book"), "shop.reserve.*'item'"),
    (lambda: call(reserve, item="b", quantiti=1), "did you mean 'quantity'"),
    (lambda: call(reserve), "missing a required argument: 'item'"),
    (lambda: call(reserve, "b", 1, 2), "too many positional"),
    (lambda: call(reserve, item=object()), "argument 'item': .*object"),
    (lambda: call(reserve, item=input.lower), r"argument 'item': .*write \['lower'\]"),
    (lambda: call(untyped(len), [1]), "of a Celery task"),
    (lambda: call(untyped("shop.f"), 1), r"call_by_name\('shop.f'"),
    (lambda: call(charge, 1, "c").compensate(refund, chrge="x"), "did you mean 'charge'"),
    (lambda: Workflow("a/b").do(reserve), r"write call\(shop.reserve"),
    (lambda: Workflow("a/b").do(untyped("x")), "a step is made by"),
]


@pytest.mark.parametrize(("made", "message"), WRONG)
def test_wrong_arguments_are_found_where_they_are_written(made: Any, message: str):
    with pytest.raises(BuildError, match=message) as caught:
        made()
    assert f"{HERE}:{made.__code__.co_firstlineno}: " in str(caught.value)


def test_values_of_arguments_are_those_that_tasks_may_return():
    made = body(
        call_by_name(
            "shop.f", a=Decimal("1.50"), b=datetime(2030, 1, 2, tzinfo=UTC), c=UUID(int=1), d=(1,)
        )
    )
    assert made["f"]["with"]["a"] == "1.50"
    assert made["f"]["with"]["b"].startswith("2030-01-02T00:00:00")
    assert made["f"]["with"]["d"] == [1]


def test_steps_are_named_after_what_they_do_and_numbered():
    made = Workflow("a/b").do(
        call(reserve, "a"), call(reserve, "b"), wait("PT1S"), reserve_3=call(reserve, "c")
    )
    made = made.do(call(reserve, "d"), call(reserve, "e").named("last"))
    names = [name for item in made.document()["do"] for name in item]
    assert names == ["reserve", "reserve_2", "wait", "reserve_3", "reserve_4", "last"]


def test_results_of_other_steps_are_exported_and_read():
    reserved = call(reserve, "book").export(item="book")
    made = Workflow("a/b").do(
        reserved.when(input.yes).compensate(release, result.id),
        set_(seen=reserved.result.id, also=steps.reserve["price"], item=context.item),
    )
    assert made.document()["do"][0]["reserve"]["export"] == {
        "as": '${ $context + {item: "book", steps: ($context.steps + {reserve: .})} }'
    }
    world = World(made.document())
    id = world.start(input={"yes": True})
    world.work(lambda _: {"id": "r-1", "price": 3})
    assert world.instance(id).output == {"seen": "r-1", "also": 3, "item": "book"}


def test_results_of_branches_are_read_after_the_fork():
    first, second = set_(a=1), set_(a=2)
    made = Workflow("a/b").do(fork(first, second), set_(sum=first.result.a + second.result.a))
    world = World(made.document())
    assert world.instance(world.start()).output == {"sum": 3}


def test_unclear_results_are_refused_with_the_line():
    reserved = call(reserve, "book")
    unused = Workflow("a/b").do(set_(a=reserved.result)), line()
    twice = Workflow("a/b").do(reserved, reserved, set_(a=reserved.result)), line()
    misspelt = Workflow("a/b").do(reserved, set_(a=steps.reserv)), line()
    replaced = Workflow("a/b").do(reserved.export_as(1), set_(a=reserved.result)), line() - 4
    for (made, at), message in [
        (unused, "not in the workflow"),
        (twice, "2 times"),
        (misspelt, "did you mean 'reserve'"),
        (replaced, "replaces the context"),
    ]:
        with pytest.raises(BuildError, match=message) as caught:
            made.document()
        assert f"{HERE}:{at}: " in str(caught.value)


def test_a_target_of_then_may_be_the_task_itself():
    paid = set_(how="paid").then("end")
    made = Workflow("a/b").do(
        switch(card=case(input.card, paid), other=case(None, "unpaid")),
        unpaid=set_(how="unpaid").then("end"),
    )
    made = made.do(paid.named("done"))
    assert made.document()["do"][0]["switch"]["switch"] == [
        {"card": {"when": "${ $workflow.input.card }", "then": "done"}},
        {"other": {"then": "unpaid"}},
    ]
    for card, how in ((True, "paid"), (False, "unpaid")):
        world = World(made.document())
        assert world.instance(world.start(input={"card": card})).output == {"how": how}


def test_loops_handlers_and_events_have_variables():
    made = Workflow("a/b").do(
        for_each("line", input.lines, set_(n=variable.line.n + variable.i), at="i", concurrency=2),
        try_(call(reserve, "x"), raise_("known")).catch(
            set_(caught=error.status),
            errors={"status": 500},
            when=error.status > 400,
            retry=retry(delay=timedelta(seconds=1.5), attempts=1),
        ),
        listen(
            any_event(event(type="shop.paid", data=this.amount > 5), until=this.done),
            foreach=iterator(emit(type="shop.seen", source="/a", data=variable.paid), item="paid"),
        ),
        run_workflow("shop/child", {"a": result}, await_=False),
    )
    document = made.document()
    assert document["do"][1]["try"]["catch"]["retry"]["delay"] == {
        "seconds": 1,
        "milliseconds": 500,
    }
    made = made.use(errors={"known": error_of("https://example.org/known", 500)})
    assert made.check() == []
    world = World(Workflow("a/b").do(made.tasks[0]).document())
    found = world.instance(world.start(input={"lines": [{"n": 1}, {"n": 5}]}))
    assert found.status is Status.COMPLETED
    assert found.output == [{"n": 1}, {"n": 6}]


def test_errors_of_the_document_name_the_line_of_the_code():
    first, at = do(set_(a=1), inner=set_(a=expr(".a |"))), line()
    wrong = Workflow("a/b").do(first)
    with pytest.raises(BuildError, match="/do/0/do/do/1/inner") as caught:
        wrong.check()
    assert f"{HERE}:{at}: " in str(caught.value)


class Refusing:
    """A client whose API refuses a document."""

    def __init__(self, status: int, errors: list[dict[str, Any]]) -> None:
        self.error = ApiError(status, {"title": "No", "errors": errors})

    def deploy(self, document: Any, dry_run: bool) -> Any:
        raise self.error


def test_errors_of_a_deployment_name_the_line_of_the_code():
    made, at = Workflow("a/b").do(call_http("get", "https://example.org")), line()
    errors = [{"pointer": "/do/0/http/with/method", "message": "wrong"}]
    client: Any = Refusing(422, errors)
    with pytest.raises(BuildError, match="wrong") as caught:
        made.deploy(client)
    assert f"{HERE}:{at}: " in str(caught.value)
    client = Refusing(409, [])
    with pytest.raises(ApiError):
        made.deploy(client)


def test_an_asynchronous_deployment_names_the_line_too():
    class Waiting(Refusing):
        async def deploy(self, document: Any, dry_run: bool) -> Any:
            raise self.error

    made, at = Workflow("a/b").do(wait("PT1S")), line()
    client: Any = Waiting(422, [{"pointer": "/do/0/wait", "message": "wrong"}])

    async def deploy() -> Any:
        return await made.deploy(client)

    with pytest.raises(BuildError, match=f"{HERE}:{at}: /do/0/wait: wrong"):
        asyncio.run(deploy())


def test_a_workflow_is_never_changed():
    first = Workflow("a/b").do(set_(a=1))
    longer = first.do(set_(a=2)).metadata(onFault="hold").timeout(timedelta(hours=1))
    assert len(first.document()["do"]) == 1
    assert longer.document()["timeout"] == {"after": {"hours": 1}}
    assert longer.document()["document"]["metadata"] == {"onFault": "hold"}
