"""`orchestrator.testing`: documents run in memory with real Celery tasks and stubs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, current_app
from celery.exceptions import Ignore, Reject

from orchestrator import WorkflowError, current_step
from orchestrator.document import InvalidDocument
from orchestrator.dsl import Workflow, call_by_name, input
from orchestrator.testing import (
    CommandRefused,
    NoEnd,
    UnknownStep,
    UnknownStub,
    UnknownTask,
    UnknownWorkflow,
    UnstubbedRequest,
    Workflows,
    lost,
    raises,
    response,
    sequence,
    takes,
)
from tests.support.documents import Body, doc


class CardDeclined(Exception):
    """What a user's task raises."""


class App(Celery):
    """An app whose tasks are not shared with all others."""

    def task(self, *args: Any, **options: Any) -> Any:
        return super().task(*args, **{"shared": False, **options})


@pytest.fixture(scope="module")
def app() -> Iterator[Celery]:
    app = App("shop", broker="memory://", set_as_current=False)

    @app.task(name="reserve")
    def reserve(item: str = "cake") -> dict[str, str]:
        return {"reservation": f"r-{item}"}

    @app.task(name="release")
    def release(reservation: str) -> None:
        return None

    @app.task(name="charge", autoretry_for=(ConnectionError,), max_retries=2, retry_backoff=4)
    def charge(amount: int = 1) -> int:
        return amount

    @app.task(name="asks", bind=True)
    def asks(self: Any, often: int = 1) -> int:
        if self.request.retries < often:
            raise self.retry(countdown=60)
        return int(self.request.retries)

    @app.task(name="ignores")
    def ignores() -> None:
        raise Ignore

    @app.task(name="rejects")
    def rejects() -> None:
        raise Reject("not mine")

    @app.task(name="knows")
    def knows() -> list[Any]:
        step = current_step()
        assert step is not None
        return [step.attempt, step.idempotency_key, step.heartbeat({"at": 1})]

    @app.task(name="replaces", bind=True)
    def replaces(self: Any) -> Any:
        return self.replace(chain(reserve.si("a"), reserve.si("b")))

    @app.task(name="sums")
    def sums(numbers: list[int]) -> int:
        return sum(numbers)

    yield app
    app.close()


@pytest.fixture
def workflows(app: Celery) -> Workflows:
    return Workflows(app)


def call(name: str, **more: Any) -> Body:
    """A call of a Celery task."""
    return {"call": name, **more}


UNDO = {"call": "release", "with": {"reservation": "${ $output.reservation }"}}
RESERVE = call("reserve", metadata={"compensate": UNDO})
SAGA = doc({"reserve": RESERVE}, {"charge": call("charge", **{"with": {"amount": 5}})})


# -- real tasks ------------------------------------------------------------------------------------


def test_real_tasks_run_and_their_values_come_out(workflows: Workflows):
    run = workflows.run(SAGA)
    assert (run.status, run.output) == ("completed", 5)
    assert run.steps["reserve"].output == {"reservation": "r-cake"}
    assert run.steps["charge"].attempts == 1
    assert workflows.calls == [("reserve", [], {}), ("charge", [], {"amount": 5})]


def test_an_error_undoes_what_was_done(workflows: Workflows):
    run = workflows.run(SAGA, tasks={"charge": raises(CardDeclined)})
    assert (run.status, run.compensation, run.compensated) == ("faulted", "completed", ["reserve"])
    assert run.error["title"] == "CardDeclined"
    assert run.steps["undo reserve"].status == "completed"
    assert run.steps["reserve"].undone
    assert workflows.calls[-1] == ("release", [], {"reservation": "r-cake"})


def test_self_retry_waits_by_the_virtual_clock(workflows: Workflows):
    began, before = time.monotonic(), workflows.now
    run = workflows.run(doc({"asks": call("asks", **{"with": {"often": 3}})}))
    assert (run.output, run.steps["asks"].attempts) == (3, 4)
    assert (workflows.now - before).total_seconds() == 180
    assert time.monotonic() - began < 60


def test_a_stub_of_a_real_task_is_retried_as_the_task_says(workflows: Workflows):
    stub = sequence(raises(ConnectionError("gone")), raises(ConnectionError("gone")), 7)
    run = workflows.run(SAGA, tasks={"charge": stub})
    assert (run.output, run.steps["charge"].attempts) == (7, 3)
    run = workflows.run(SAGA, tasks={"charge": raises(ConnectionError("gone"))})
    assert (run.status, run.steps["charge"].attempts) == ("faulted", 3)
    run = workflows.run(SAGA, tasks={"charge": raises(KeyError("x"))})
    assert run.steps["charge"].attempts == 1


def test_ignore_and_reject_are_treated_as_a_worker_treats_them(workflows: Workflows):
    run = workflows.run(doc({"t": call("ignores")}))
    assert (run.status, run.output) == ("completed", None)
    run = workflows.run(doc({"t": call("rejects")}))
    assert (run.status, run.error["title"], run.error["detail"]) == (
        "faulted",
        "Reject",
        "not mine",
    )


def test_a_task_knows_its_step(workflows: Workflows):
    run = workflows.run(doc({"knows": call("knows")}))
    attempt, key, counts = run.output
    assert (attempt, key, counts) == (1, f"{run.id}:1", True)
    assert current_step() is None


def test_a_task_that_replaces_itself_starts_a_sub_workflow(workflows: Workflows):
    run = workflows.run(doc({"t": call("replaces")}))
    assert (run.status, run.output) == ("completed", {"reservation": "r-b"})
    assert len(run.children) == 1


def test_a_value_that_is_no_json_is_an_error_of_the_step(workflows: Workflows):
    run = workflows.run(SAGA, tasks={"charge": {"file": object()}})
    assert run.status == "faulted"
    assert "object" in run.error["detail"]


# -- stubs -----------------------------------------------------------------------------------------


def test_a_stub_gets_the_arguments_of_the_task(app: Celery):
    workflows = Workflows(tasks={"reserve": {"reservation": 1}, "release": None})
    seen: list[int] = []

    def charge(amount: int) -> int:
        seen.append(amount)
        return amount + 1

    run = workflows.run(SAGA, tasks={"charge": charge})
    assert (run.output, seen) == (6, [5])


def test_a_stub_of_a_real_task_has_its_signature(workflows: Workflows):
    document = doc({"charge": call("charge", **{"with": {"amuont": 5}})})
    run = workflows.run(document, tasks={"charge": 7})
    assert (run.status, run.error["title"]) == ("faulted", "TypeError")
    assert "amuont" in run.error["detail"]


def test_a_stub_may_take_time_while_other_work_goes_on(workflows: Workflows):
    document = doc(
        {"both": {"fork": {"branches": [{"a": call("reserve")}, {"b": call("charge")}]}}}
    )
    run = workflows.start(document, tasks={"reserve": takes("late", minutes=5)})
    assert (run.status, run.steps["b"].status) == ("running", "completed")
    run.advance(minutes=4)
    assert run.steps["a"].states == ("claimed",)
    run.advance(minutes=1)
    assert run.output == ["late", 1]


def test_a_timeout_ends_a_stub_that_takes_too_long(workflows: Workflows):
    document = doc({"t": call("reserve", timeout={"after": {"minutes": 1}})})
    run = workflows.run(document, tasks={"reserve": takes(1, minutes=2)})
    assert (run.status, run.error["status"]) == ("faulted", 408)


def test_a_worker_that_dies_starts_the_step_again(workflows: Workflows):
    run = workflows.run(SAGA, tasks={"charge": sequence(lost(), 5)})
    assert (run.status, run.steps["charge"].states) == ("completed", ("lost", "succeeded"))
    run = workflows.run(SAGA, tasks={"charge": lost()})
    assert (run.status, run.steps["charge"].starts) == ("faulted", 3)
    assert run.steps["charge"].unknown


def test_an_error_of_the_dsl_passes_as_it_is(workflows: Workflows):
    error = WorkflowError("https://shop.example/errors/declined", 402, "Declined")
    run = workflows.run(SAGA, tasks={"charge": raises(error)})
    assert (run.error["type"], run.error["status"]) == (error.type, 402)


def test_the_same_seed_gives_the_same_order_and_others_another(workflows: Workflows):
    branches = [{f"b{n}": call("charge", **{"with": {"amount": n}})} for n in range(6)]
    document = doc({"all": {"fork": {"branches": branches}}})

    def order(seed: int | None) -> list[int]:
        before = len(workflows.calls)
        assert workflows.run(document, seed=seed).output == list(range(6))
        return [kwargs["amount"] for _, _, kwargs in workflows.calls[before:]]

    assert order(None) == list(range(6))
    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(10)}) > 3


# -- mistakes --------------------------------------------------------------------------------------


def test_an_unknown_task_is_never_stubbed_in_silence(workflows: Workflows):
    document = doc({"pay": call("chagre")})
    with pytest.raises(UnknownTask) as caught:
        workflows.run(document)
    text = str(caught.value)
    assert "test/flow /do/0/pay calls the task 'chagre', did you mean 'charge'?" in text
    assert "the app 'shop' has no such task" in text
    assert "Stub it: tasks={'chagre': ...}" in text
    assert workflows.run(SAGA).status == "completed", "the next run is not disturbed"
    with pytest.raises(UnknownTask, match=r"no app is given.*Workflows\(app=...\)"):
        Workflows().run(document)


def test_a_stub_of_nothing_is_refused(workflows: Workflows):
    with pytest.raises(UnknownStub, match=r"'chrage' stands for no task.*did you mean 'charge'"):
        workflows.run(SAGA, tasks={"chrage": 1})


def test_an_unknown_request_workflow_step_and_file_are_said(workflows: Workflows, tmp_path: Path):
    http = {"call": "http", "with": {"method": "get", "endpoint": "https://a.example/orders"}}
    with pytest.raises(UnstubbedRequest, match=r"GET https://a\.example/orders, did you mean"):
        workflows.run(doc({"t": http}), http={"GET https://a.example/order": 1})
    sub = {"run": {"workflow": {"namespace": "test", "name": "child", "version": "1.0.0"}}}
    with pytest.raises(UnknownWorkflow, match=r"runs the workflow test/child 1\.0\.0"):
        workflows.run(doc({"t": sub}))
    with pytest.raises(UnknownStep, match="'chargee' has begun, did you mean 'charge'"):
        _ = workflows.run(SAGA).steps["chargee"]
    with pytest.raises(UnknownWorkflow, match=r"no file 'order.yaml' in"):
        Workflows(folders=[tmp_path]).run("order.yaml")
    with pytest.raises(UnknownWorkflow, match=r"no workflow 'test/flwo' was added, did you mean"):
        workflows.run("test/flwo")
    with pytest.raises(InvalidDocument, match="cal"):
        workflows.run(doc({"t": {"cal": "x"}}))


def test_an_endless_loop_is_said(workflows: Workflows, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("orchestrator.testing.driver.MOST", 50)
    document = doc({"a": call("charge")}, {"b": {"set": {"n": 1}, "then": "a"}})
    with pytest.raises(NoEnd, match="50 attempts"):
        workflows.run(document)


# -- time, commands, events, schedules -------------------------------------------------------------


def test_time_moves_by_advance_only(workflows: Workflows):
    run = workflows.start(doc({"pause": {"wait": {"hours": 2}}}, {"charge": call("charge")}))
    assert (run.status, run.waiting_for) == ("waiting", ["pause"])
    assert run.due is not None
    run.advance(hours=1, minutes=59)
    assert run.status == "waiting"
    run.advance(minutes=1)
    assert (run.status, run.output) == ("completed", 1)


def test_commands_are_decided_by_the_core(workflows: Workflows):
    waits = doc({"reserve": RESERVE}, {"pause": {"wait": {"hours": 2}}})
    run = workflows.start(waits).cancel("no more cake")
    assert (run.status, run.compensated) == ("cancelled", ["reserve"])
    with pytest.raises(CommandRefused, match="cancel is refused"):
        run.cancel()
    run = workflows.start(waits).terminate()
    assert (run.status, run.compensated) == ("cancelled", [])
    run = workflows.start(waits).suspend().advance(hours=3)
    assert run.status == "suspended"
    assert run.resume().status == "completed"
    assert run.compensate().compensated == ["reserve"]


def test_a_faulted_instance_is_retried_and_skipped(workflows: Workflows):
    held = doc({"reserve": call("reserve")}, {"charge": call("charge")})
    run = workflows.run(held, tasks={"charge": sequence(raises(KeyError("x")), 3)})
    assert run.status == "faulted"
    assert run.retry().output == 3
    assert [name for name, _, _ in workflows.calls].count("reserve") == 1
    run = workflows.run(held, tasks={"charge": raises(KeyError("x"))})
    assert run.skip("charge", output="none").output == "none"


def test_events_are_filtered_and_correlated_as_in_the_product(workflows: Workflows):
    wanted = {"with": {"type": "paid", "data": "${ .order == $input.id }"}}
    document = doc({"wait": {"listen": {"to": {"one": wanted}}}})
    run = workflows.start(document, {"id": 7})
    run.send("paid", {"order": 8})
    assert run.status == "waiting"
    workflows.send("paid", {"order": 7}, namespace="other")
    assert run.status == "waiting"
    workflows.send("paid", {"order": 7}, namespace="test")
    assert (run.status, run.output) == ("completed", [{"order": 7}])


def test_an_event_for_one_instance_waits_until_that_listens(workflows: Workflows):
    listen = {"listen": {"to": {"one": {"with": {"type": "paid"}}}}}
    run = workflows.start(doc({"pause": {"wait": {"minutes": 9}}}, {"listen": listen}))
    run.send("paid", 1)
    assert run.status == "waiting"
    workflows.send("paid", 2, namespace="test")
    assert run.finish().output == [1]


def test_an_emitted_event_wakes_another_workflow(workflows: Workflows):
    listen = {"listen": {"to": {"one": {"with": {"type": "baked"}}}}}
    waiting = workflows.start(doc({"l": listen}, about={"name": "waits"}))
    event = {"source": "urn:shop", "type": "baked", "data": {"cake": 1}}
    emits = workflows.run(doc({"e": {"emit": {"event": {"with": event}}}}))
    assert emits.events[0]["type"] == "baked"
    assert (waiting.status, waiting.output) == ("completed", [{"cake": 1}])


def test_all_waits_for_each_of_its_events_once(workflows: Workflows):
    to = {"all": [{"with": {"type": "a"}}, {"with": {"type": "b"}}]}
    run = workflows.start(doc({"l": {"listen": {"to": to}}}))
    run.send("a", 1).send("a", 2)
    assert run.status == "waiting"
    assert run.send("b", 3).output == [1, 3]


def test_schedules_start_instances_by_the_virtual_clock_and_by_events(workflows: Workflows):
    document = doc({"charge": call("charge")}, schedule={"cron": "0 3 * * *"})
    workflows.deploy(document)
    workflows.advance(days=3)
    assert [run.status for run in workflows.scheduled] == ["completed"] * 3
    on = {"on": {"one": {"with": {"type": "ordered"}}}}
    name = workflows.deploy(doc({"t": {"set": {"n": "${ . }"}}}, about={"name": "on"}, schedule=on))
    assert name == "test/on"
    workflows.send("ordered", {"id": 1}, namespace="test")
    assert workflows.scheduled[-1].output["n"][0]["data"] == {"id": 1}


# -- HTTP and sub-workflows ------------------------------------------------------------------------


def test_http_calls_are_answered_by_stubs(workflows: Workflows):
    with_ = {
        "method": "post",
        "endpoint": "https://pay.example/charges/{id}",
        "headers": {"X-Key": "k"},
        "body": {"amount": "${ .amount }"},
    }
    http = {"t": {"call": "http", "with": with_}}
    answers = {"POST https://pay.example/charges/{id}": lambda request: {"paid": request.json}}
    run = workflows.run(doc(http), {"id": 1, "amount": 5}, http=answers)
    assert run.output == {"paid": {"amount": 5}}
    assert workflows.requests[0].url == "https://pay.example/charges/1"
    assert workflows.requests[0].headers["X-Key"] == "k"
    declined = {"POST https://pay.example/*": response(402, {"code": "declined"})}
    run = workflows.run(doc(http), {"id": 1, "amount": 5}, http=declined)
    assert (run.status, run.error["status"]) == ("faulted", 402)
    slow = {"POST https://pay.example/*": raises(TimeoutError)}
    run = workflows.run(doc(http), {"id": 1, "amount": 5}, http=slow)
    assert run.error["type"].endswith("timeout")


def test_secrets_reach_calls_and_no_output(workflows: Workflows):
    document = doc(
        {"t": call("reserve", **{"with": {"item": "${ $secrets.item }"}})},
        use={"secrets": ["item"]},
    )
    run = Workflows(workflows.app, secrets={"item": "pearl"}).run(document)
    assert (run.status, "pearl" in str(run.output)) == ("completed", False)
    run = workflows.run(document)
    assert (run.status, run.error["status"]) == ("faulted", 403)


def test_sub_workflows_run_in_the_same_store(workflows: Workflows):
    workflows.add(doc({"c": call("charge")}, about={"name": "child"}))
    sub = {"run": {"workflow": {"namespace": "test", "name": "child", "version": "1.0.0"}}}
    run = workflows.run(doc({"t": sub}))
    assert (run.output, run.children[0].status) == (1, "completed")


@pytest.mark.parametrize(
    ("version", "expected"), [("latest", 10), ("1.9.0", 9), ("1.9.0-rc", "rc"), ("1.1.0", None)]
)
def test_sub_workflows_have_the_versions_of_an_installation(
    workflows: Workflows, version: str, expected: Any
):
    for number, output in (("1.9.0", 9), ("1.10.0", 10), ("1.9.0-rc", "rc")):
        child = doc({"c": {"set": {"v": output}}}, about={"name": "child", "version": number})
        workflows.add(child)
    sub = {"run": {"workflow": {"namespace": "test", "name": "child", "version": version}}}
    if expected is None:
        with pytest.raises(UnknownWorkflow, match=r"test/child 1\.1\.0, which was not added"):
            workflows.run(doc({"t": sub}))
        return
    assert workflows.run(doc({"t": sub})).output == {"v": expected}


def test_processes_do_not_run_but_are_stubbed(workflows: Workflows):
    document = doc({"t": {"run": {"shell": {"command": "echo", "arguments": ["hi"]}}}})
    with pytest.raises(UnknownTask, match=r"is a run\.shell: tests run no processes"):
        workflows.run(document)
    stub = {"run.shell": lambda command, arguments, **_: f"{command} {arguments}"}
    assert workflows.run(document, tasks=stub).output == "echo ['hi']"


def test_a_workflow_in_code_runs(workflows: Workflows):
    built = Workflow("test/built").do(call_by_name("charge", amount=input.total).named("pay"))
    assert workflows.run(built, {"total": 7}).output == 7


def test_a_document_is_a_file_a_text_or_an_object(workflows: Workflows, tmp_path: Path):
    text = (
        "document: {dsl: '1.0.3', namespace: shop, name: order, version: '1.0.0'}\n"
        "do: [{charge: {call: charge}}]\n"
    )
    (tmp_path / "order.yaml").write_text(text)
    workflows.folders.append(tmp_path)
    assert workflows.run("order.yaml").output == 1
    assert workflows.run(text).output == 1
    assert workflows.run(tmp_path / "order.yaml").workflow == "shop/order/1.0.0"
    assert workflows.run("shop/order").output == 1


def test_the_tasks_of_an_app_are_imported_and_the_current_app_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(tmp_path))
    text = (
        "from celery import current_app\n"
        "@current_app.task(name='lazy.task', shared=False)\n"
        "def task():\n    return 5\n"
    )
    (tmp_path / "lazy_tasks.py").write_text(text)
    app = Celery("lazy", broker="memory://", include=["lazy_tasks"])
    app.set_current()
    try:
        assert Workflows(current_app).run(doc({"t": call("lazy.task")})).output == 5
    finally:
        app.close()


def test_it_runs_inside_an_event_loop(workflows: Workflows):
    async def main() -> Any:
        return workflows.run(SAGA).output

    assert asyncio.run(main()) == 5
