"""Why an instance stands still, told in words and in data: a test for every cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from api.resources.wait_reason_messages import pending_stimuli
from orchestrator.cli import main
from orchestrator.core.model import AttemptEnd, AttemptState
from orchestrator.database.instances.wait_reason_queries import Inbox
from orchestrator.database.workers import worker_queries
from orchestrator.database.workers.worker_queries import WorkerRow
from orchestrator.ids import new_id
from orchestrator.state_manager import LeaseOwner
from tests.support.api import Api, document

PAY = [{"pay": {"call": "shop.pay"}}]


@pytest.fixture(scope="module")
def _application(module_database_url: str, module_broker_url: str) -> Iterator[Api]:
    """With a broker that answers: where none does, that is the cause."""
    made = Api.on(module_database_url, module_broker_url)
    yield made
    made.close()


def state(api: Api) -> Any:
    return api.client.application.extensions["orchestrator"].services.state


def drain(api: Api, id: str) -> None:
    """What a control worker does with a hint."""
    state(api).process_inbox(id)


def worker(
    api: Api, *queues: str, tasks: tuple[str, ...] = ("shop.pay",), pool: str = "prefork"
) -> str:
    row = WorkerRow(new_id(), f"w-{new_id()[-4:]}", 7, pool, 1, queues, tasks)
    worker_queries.register(api.database, row)
    return row.id


def running(api: Api, do: list[dict[str, Any]], name: str = "order") -> str:
    """An instance that has taken its first transition."""
    api.deploy(document(name, do=do))
    id = api.start(name)
    drain(api, id)
    return id


def work(api: Api, id: str, worker: str) -> Any:
    """The newest attempt of the instance, in the hands of a worker."""
    attempt, task = api.all(
        "select id::text, task from orchestrator.attempts where instance_id = %s"
        " and state = 'ready' order by id desc limit 1",
        id,
    )[0]
    taken = state(api).claim_attempt(attempt, id, task, LeaseOwner(worker, 7))
    worker_queries.heartbeat(api.database, worker, [attempt], 0)
    return taken


def end(api: Api, taken: Any, failed: bool = False, **more: Any) -> None:
    """The attempt ends as a worker would have it end."""
    error = {"type": "https://shop.example/no", "status": 500, "detail": "the till is shut"}
    how = AttemptState.FAILED if failed else AttemptState.SUCCEEDED
    done = AttemptEnd(taken.attempt.id, how, error=error if failed else None, **more)
    state(api).commit_result(taken, done)


def causes(api: Api, id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/v1/instances/{id}/why").json["causes"]
    return found


def why(api: Api, id: str) -> dict[str, Any]:
    """The only cause."""
    found = causes(api, id)
    assert len(found) == 1, found
    return found[0]


def kind(api: Api, id: str) -> str:
    return str(why(api, id)["kind"])


@pytest.fixture
def cli_why(served: str) -> Callable[[str], str]:
    """What `orchestrator why ID` prints."""
    return lambda id: CliRunner().invoke(main, ["--url", served, "why", id]).output


def test_a_start_that_nobody_brings(api: Api):
    api.deploy(document())
    id = api.start()
    assert kind(api, id) == "no-control"
    assert why(api, id)["message"] == ("1 start waits; no worker is alive")
    able = worker(api, "celery")
    assert why(api, id)["message"] == (
        "1 start waits; no control worker: no live worker serves the queue orchestrator"
    )
    worker_queries.stop(api.database, able)
    worker(api, "orchestrator")
    assert kind(api, id) == "inbox"
    api.all("update orchestrator.stimuli set deferred = true")
    assert kind(api, id) == "stuck"
    drain(api, id)
    assert why(api, id) == {
        "kind": "ended", "message": "the instance is completed", "tone": "calm",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"command": 1}, "1 command waits"),
        ({"command": 2}, "2 commands wait"),
        ({"event": 2, "command": 1}, "1 command and 2 events wait"),
        ({"child": 1, "result": 1, "timer": 3}, "1 report of a sub-workflow, 1 result of a step"),
    ],
)
def test_what_waits_is_counted_by_its_kind(kinds: dict[str, int], message: str):
    inbox = Inbox(sum(kinds.values()), 0, None, 0, kinds)
    told = pending_stimuli(inbox, "orchestrator", workers=True)["message"]
    assert told.startswith(message)
    assert "; no control worker" in told
    told = pending_stimuli(inbox, "orchestrator", workers=False)["message"]
    assert told.endswith("; no worker is alive")


def test_a_task_of_an_app_says_how_its_workers_are_started(api: Api):
    id = running(api, PAY)
    assert why(api, id)["app"] is None
    other = WorkerRow(new_id(), "o", 7, "prefork", 1, ("x",), ("shop.x",), app="orders")
    worker_queries.register(api.database, other)
    assert why(api, id)["app"] == "orders"  # the best guess: nobody has the task
    row = WorkerRow(new_id(), "w", 7, "prefork", 1, ("x",), ("shop.pay",), app="shop.celery")
    worker_queries.register(api.database, row)
    worker_queries.register(api.database, WorkerRow(new_id(), "o", 7, "prefork", 1, ("x",), ("b",)))
    told = why(api, id)
    assert (told["kind"], told["app"], told["queue"]) == ("no-worker", "shop.celery", "celery")
    assert "meant" not in told
    # Its worker has ended, and it is still known whose the task is.
    worker_queries.stop(api.database, row.id)
    assert why(api, id)["app"] == "shop.celery"


def test_a_misspelt_task_is_told_what_was_meant(api: Api):
    id = running(api, [{"pay": {"call": "shop.payy"}}])
    worker(api, "others")
    told = why(api, id)
    assert told["message"] == (
        "no live worker serves the queue celery; its task is shop.payy, did you mean 'shop.pay'?"
    )
    worker(api, "celery")
    told = why(api, id)
    assert (told["kind"], told["meant"]) == ("no-task", "shop.pay")
    assert told["message"].endswith("knows shop.payy, did you mean 'shop.pay'?")


def test_a_queue_without_a_worker(api: Api):
    id = running(api, PAY)
    told = why(api, id)
    assert (told["kind"], told["queue"], told["reference"]) == ("no-worker", "celery", "/do/0/pay")
    assert told["message"] == "no live worker serves the queue celery"


def test_a_task_that_no_worker_has(api: Api):
    id = running(api, PAY)
    worker(api, "celery", tasks=("shop.other",))
    assert why(api, id)["message"] == "no live worker of the queue celery knows shop.pay"
    assert kind(api, id) == "no-task"


def test_a_limit_that_only_processes_enforce(api: Api):
    id = running(api, PAY)
    api.all("update orchestrator.attempts set time_limit = 5")
    worker(api, "celery", pool="threads")
    told = why(api, id)
    assert told["kind"] == "no-processes"
    assert "has a time limit, which only workers of processes can enforce" in told["message"]
    worker(api, "celery", pool="prefork")
    assert kind(api, id) == "delivery"


def test_a_message_on_its_way(api: Api):
    id = running(api, PAY)
    worker(api, "celery")
    assert why(api, id)["message"] == "shop.pay was sent to the queue celery and not yet taken"
    worker(api, "celery", tasks=("shop.other",))
    assert "1 of its 2 live workers lacks the task and drops" in why(api, id)["message"]
    worker(api, "celery", tasks=("shop.other",))
    assert "2 of its 3 live workers lack the task and drop" in why(api, id)["message"]
    api.all("update orchestrator.attempts set published_at = null")
    assert kind(api, id) == "unpublished"


def test_a_broker_that_is_down(api: Api):
    id = running(api, PAY)
    worker(api, "celery")
    without = Api.on(str(api.database.url), "redis://127.0.0.1:1/0")
    try:
        down, delivery = causes(without, id)
    finally:
        without.close()
    assert (down["kind"], delivery["kind"]) == ("broker", "delivery")
    assert "redis://127.0.0.1:1/0 does not answer" in down["message"]


def test_a_pool_that_is_too_small(api: Api):
    id = running(api, PAY)
    able = worker(api, "celery")
    worker_queries.heartbeat(api.database, able, [], 0)
    told = why(api, id)
    assert told["kind"] == "no-slot"
    assert told["message"].startswith("the pool is too small: every slot (1) of the 1 workers")


def test_a_lease_that_runs(api: Api):
    id = running(api, PAY)
    able = worker(api, "celery")
    work(api, id, able)
    told = why(api, id)
    assert (told["kind"], told["step"], told["reference"]) == ("running", 1, "/do/0/pay")
    name = api.all("select name from orchestrator.workers")[0][0]
    assert told["worker"] == name

    worker_queries.heartbeat(api.database, able, [], 1)
    api.all("update orchestrator.attempts set claimed_at = now() - interval '1 h'")
    assert kind(api, id) == "lease"
    api.all("update orchestrator.workers set last_heartbeat_at = now() - interval '1 h'")
    assert kind(api, id) == "silent-worker"
    api.all("delete from orchestrator.workers")
    assert kind(api, id) == "silent-worker"


def test_a_withdrawn_attempt_that_still_runs(api: Api):
    id = running(api, PAY)
    work(api, id, worker(api, "celery"))
    api.post(f"/v1/instances/{id}/cancel")
    drain(api, id)
    kinds = [cause["kind"] for cause in causes(api, id)]
    assert "withdrawn" in kinds


def test_a_timer(api: Api):
    id = running(api, [{"pause": {"wait": {"hours": 1}}}])
    told = why(api, id)
    assert told["kind"] == "timer"
    assert told["until"] == api.get("/v1/timers").json["items"][0]["due_at"]
    api.all("update orchestrator.timers set due_at = now() - interval '1 min'")
    assert kind(api, id) == "no-beat"


def test_a_retry(api: Api):
    block = {"try": PAY, "catch": {"retry": {"delay": {"hours": 1}}}}
    id = running(api, [{"careful": block}])
    end(api, work(api, id, worker(api, "celery")), failed=True)
    told = why(api, id)
    assert told["kind"] == "retry"
    assert told["message"].endswith("after: the till is shut")
    assert told["until"]


def test_a_retry_that_the_task_itself_asked_for(api: Api):
    id = running(api, PAY)
    end(api, work(api, id, worker(api, "celery")), failed=True, retry_in=3600.0)
    told = why(api, id)
    assert (told["kind"], told["reference"]) == ("retry", "/do/0/pay")


def test_an_event(api: Api):
    listen = {"listen": {"to": {"one": {"with": {"type": "shop.paid"}}}}}
    id = running(api, [{"paid": listen}])
    told = why(api, id)
    assert (told["kind"], told["message"]) == ("event", "waits for an event: shop.paid")
    assert told["filters"] == [{"with": {"type": "shop.paid"}}]
    sent = {"specversion": "1.0", "id": "1", "source": "/till", "type": "shop.paid", "data": 1}
    headers = {"Content-Type": "application/cloudevents+json"}
    api.post("/v1/events?namespace=shop", json=sent, headers=headers)
    assert [cause["kind"] for cause in causes(api, id)] == ["no-control", "event"]


def test_an_event_that_a_suspended_instance_took(api: Api):
    listen = {"listen": {"to": {"one": {"with": {"type": "shop.paid"}}}}}
    id = running(api, [{"paid": listen}])
    api.post(f"/v1/instances/{id}/suspend")
    sent = {"specversion": "1.0", "id": "1", "source": "/till", "type": "shop.paid", "data": 1}
    headers = {"Content-Type": "application/cloudevents+json"}
    api.post("/v1/events?namespace=shop", json=sent, headers=headers)
    api.client.application.extensions["orchestrator"].services.events.match("shop")
    suspended, came = causes(api, id)
    assert (suspended["kind"], came["kind"]) == ("suspended", "event-came")
    assert came["message"] == "took an event, which waits until the instance is resumed"
    assert came["reference"] == "/do/0/paid"


def test_without_any_worker_one_that_runs_steps_is_named(api: Api, cli_why: Callable[[str], str]):
    """A control worker alone would run no step."""
    api.deploy(document(do=PAY))
    id = api.start()
    assert why(api, id)["workers"] is False
    assert "→ orchestrator worker, or celery -A yourapp worker" in cli_why(id)
    worker(api, "celery")
    assert why(api, id)["workers"] is True
    assert "→ orchestrator worker -Q orchestrator" in cli_why(id)


def test_a_fault_names_its_step_and_a_sub_workflow_that_was_repaired(
    api: Api, cli_why: Callable[[str], str]
):
    fail = {"raise": {"error": {"type": "https://shop.example/no", "status": 500, "title": "No"}}}
    api.deploy(document("child", do=[{"fail": fail}]))
    child = {"namespace": "shop", "name": "child", "version": "1.0.0"}
    id = running(api, [{"sub": {"run": {"workflow": child}}}], "parent")
    ((started,),) = api.all(
        "select id::text from orchestrator.instances where parent_instance is not null"
    )
    drain(api, started)
    drain(api, id)
    assert why(api, id)["message"].startswith("the instance is faulted at /do/0/sub: ")
    assert "at /do/0/fail: No" in why(api, started)["message"]
    (step,) = api.get(f"/v1/instances/{started}/steps").json["items"]
    answer = api.post(f"/v1/instances/{started}/skip", json={"step": step["id"], "output": {}})
    assert answer.status_code == 202, answer.text
    drain(api, started)
    assert api.get(f"/v1/instances/{started}").json["status"] == "completed"
    last = causes(api, id)[-1]
    assert (last["kind"], last["instance"]) == ("repaired-child", started)
    assert f"→ orchestrator retry {id}" in cli_why(id)


def test_a_sub_workflow(api: Api):
    api.deploy(document("child", do=[{"pause": {"wait": {"hours": 1}}}]))
    child = {"namespace": "shop", "name": "child", "version": "1.0.0"}
    id = running(api, [{"sub": {"run": {"workflow": child}}}])
    told = why(api, id)
    assert told["kind"] == "workflow"
    drain(api, told["instance"])
    assert why(api, id)["message"].endswith("which is waiting")
    assert kind(api, told["instance"]) == "timer"


def test_somebody_suspended_it(api: Api):
    id = running(api, [{"pause": {"wait": {"hours": 1}}}])
    api.post(f"/v1/instances/{id}/suspend", json={"reason": "for lunch"})
    drain(api, id)
    assert causes(api, id)[0]["message"] == "suspended by anonymous: for lunch"


def test_a_compensation_and_its_dead_letter(api: Api):
    once = {"retry": {"limit": {"attempt": {"count": 0}}}}
    undo = {"compensate": {"call": "shop.pay", "metadata": once}}
    fail = {"raise": {"error": {"type": "https://shop.example/no", "status": 500}}}
    id = running(api, [{"pay": {"call": "shop.pay", "metadata": undo}}, {"fail": fail}])
    able = worker(api, "celery")
    end(api, work(api, id, able))
    drain(api, id)
    whole, undoing = causes(api, id)
    assert whole["kind"] == "compensating"
    assert whole["message"].endswith("0 undone, 1 to go")
    assert undoing["reference"] == "/do/0/pay/metadata/compensate"

    end(api, work(api, id, able), failed=True)
    drain(api, id)
    told = why(api, id)
    assert told["kind"] == "dead-letter"
    assert told["message"] == "gave up and waits for a person: the till is shut"
    assert told["reference"] == "/do/0/pay/metadata/compensate"
    assert told["dead_letter"] == api.get("/v1/dead-letters").json["items"][0]["id"]


def test_what_was_undone_is_not_retried(api: Api):
    undo = {"compensate": {"set": {"undone": True}}}
    fail = {"raise": {"error": {"type": "https://shop.example/no", "status": 500}}}
    id = running(api, [{"pay": {"call": "shop.pay", "metadata": undo}}, {"fail": fail}])
    end(api, work(api, id, worker(api, "celery")))
    drain(api, id)
    assert api.get(f"/v1/instances/{id}").json["compensation"] == "completed"
    whole = "the instance is faulted at /do/1/fail, and was undone: start it anew"
    assert why(api, id)["message"] == whole
    refused = api.post(f"/v1/instances/{id}/retry")
    assert refused.status_code == 409
    assert refused.json["detail"] == "it was undone: start it anew"


def test_a_fault_that_holds(api: Api):
    fail = {"raise": {"error": {"type": "https://shop.example/no", "status": 500}}}
    id = running(api, [{"fail": fail}])
    assert "a person may retry" in why(api, id)["message"]
