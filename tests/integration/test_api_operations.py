"""``/v1/operations``: one command to many, in batches that a crash neither repeats nor loses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import clock
from orchestrator.core import advance
from orchestrator.core.model import (
    Compensation,
    Instance,
    Need,
    Slice,
    Status,
    Stimulus,
    StimulusKind,
)
from orchestrator.database.operations import bulk_operation_queries
from orchestrator.document.model import Workflow
from orchestrator.ids import new_id
from orchestrator.scheduler import bulk_operations as working
from orchestrator.scheduler.bulk_operations import Operations
from orchestrator.state_manager.command_decision import never
from tests.support.api import Api, document, problem

RUNS = {"status": "pending,running,waiting", "workflow": "shop/order"}


def services(api: Api) -> Any:
    return api.client.application.extensions["orchestrator"].services


def work(api: Api) -> None:
    """What the beats do, until nothing is left."""
    jobs = Operations(api.database, services(api).dispatcher)
    while jobs.work() == working.BUSY_INTERVAL:
        pass


def commands(api: Api) -> list[tuple[str, str]]:
    """What stands in inboxes: (instance, command)."""
    return [
        (id, data["command"])
        for id, data in api.all(
            "select instance_id::text, data from orchestrator.stimuli where kind = 'command'"
            " order by instance_id"
        )
    ]


@pytest.fixture
def runs(api: Api) -> list[str]:
    """Five instances of `shop/order`, in the order of their ids, and one of another workflow."""
    api.deploy(document(do=[{"pause": {"wait": {"hours": 1}}}]))
    api.deploy(document("other"))
    api.start("other")
    return sorted(api.start(input={"customer": {"id": n % 2}}) for n in range(5))


def make(api: Api, action: str = "cancel", filter: Any = RUNS, **more: Any) -> Any:
    return api.post("/v1/operations", json={"action": action, "filter": filter, **more})


def test_a_dry_run_counts_and_does_nothing(api: Api, runs: list[str]):
    before = api.content()
    told = make(api, dry_run=True)
    assert (told.status_code, told.json["matches"]) == (200, 5)
    assert [each["id"] for each in told.json["sample"]] == runs
    assert make(api, "resume", dry_run=True).json["matches"] == 0
    assert api.content() == before


def test_every_instance_of_the_filter_is_reached_once(
    api: Api, runs: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(working, "BATCH", 2)
    made = make(api, reason="over")
    assert (made.status_code, made.json["matches"], made.json["state"]) == (202, 5, "pending")
    later = api.start()
    work(api)
    assert commands(api) == [(id, "cancel") for id in runs], "and none that came later"
    ended = api.get(made.headers["Location"]).json
    assert (ended["state"], ended["reached"]) == ("completed", 5)
    told = api.get("/v1/audit?action=instance.cancel").json["items"]
    assert {each["target"] for each in told} == set(runs)
    assert {each["reason"] for each in told} == {"over"}
    assert later not in {each["target"] for each in told}
    services(api).state.process_inbox(runs[0])
    assert api.get(f"/v1/instances/{runs[0]}").json["status"] == "cancelled"


def test_a_filter_may_name_members_of_the_input(api: Api, runs: list[str]):
    assert make(api, filter={**RUNS, "input.customer.id": "1"}, dry_run=True).json["matches"] == 2
    make(api, filter={"input.customer.id": "0"})
    work(api)
    assert len(commands(api)) == 3


def test_a_crash_repeats_nothing(api: Api, runs: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(working, "BATCH", 2)
    make(api)
    jobs = Operations(api.database, services(api).dispatcher)
    jobs.work()
    with monkeypatch.context() as broken:

        def dies(*_: Any) -> None:
            raise SystemExit

        broken.setattr(bulk_operation_queries, "record_batch", dies)
        with pytest.raises(SystemExit):
            jobs.work()
    assert len(commands(api)) == 2, "the batch that died has left nothing"
    work(api)
    assert commands(api) == [(id, "cancel") for id in runs]


def test_what_is_broken_fails_and_says_so(
    api: Api, runs: list[str], monkeypatch: pytest.MonkeyPatch
):
    made = make(api)
    api.all("update orchestrator.bulk_operations set selection = '{}'")
    work(api)
    found = api.get(made.headers["Location"]).json
    assert (found["state"], found["error"]) == ("failed", "KeyError: see the beat's log")


def test_a_stopped_one_goes_no_further(api: Api, runs: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(working, "BATCH", 2)
    place = make(api).headers["Location"]
    Operations(api.database, services(api).dispatcher).work()
    stopped = api.delete(place)
    assert (stopped.json["state"], stopped.json["reached"]) == ("stopped", 2)
    work(api)
    assert len(commands(api)) == 2
    assert problem(api.delete(place)) == "conflict"


def test_the_same_key_makes_one_operation(api: Api, runs: list[str]):
    body = {"action": "suspend", "filter": RUNS}
    headers = {"Idempotency-Key": "once"}
    first = api.post("/v1/operations", json=body, headers=headers)
    again = api.post("/v1/operations", json=body, headers=headers)
    assert first.json == again.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert [each["id"] for each in api.get("/v1/operations").json["items"]] == [first.json["id"]]


def test_dead_letters_are_settled_but_those_of_what_still_runs(api: Api, runs: list[str]):
    api.all("update orchestrator.instances set status = 'faulted' where id <> %s", runs[3])
    for id in runs[:4]:
        api.all(
            "insert into orchestrator.dead_letters (id, namespace, instance_id, step, reason)"
            " values (%s, 'shop', %s, 1, 'compensation')",
            new_id(),
            id,
        )
    one = {"instance": runs[0]}
    told = make(api, "dead-letter.resolve", one, dry_run=True).json
    assert (told["matches"], told["sample"][0]["instance"]) == (1, runs[0])
    make(api, "dead-letter.resolve", one)
    work(api)
    assert commands(api) == [(runs[0], "compensation")]
    made = make(api, "dead-letter.retry", {"namespace": "shop"})
    work(api)
    assert api.get(made.headers["Location"]).json["reached"] == 2
    (left,) = api.get("/v1/dead-letters?resolved=false").json["items"]
    assert left["instance"] == runs[3]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"action": "cancel", "filter": {}}, "/filter"),
        ({"action": "dance", "filter": RUNS}, "/action"),
        ({"action": "cancel", "filter": {"status": "happy"}}, "/filter/status"),
        ({"action": "cancel", "filter": {"x": "y"}}, "/filter/x"),
        ({"action": "cancel", "filter": {"status": 1}}, "/filter/status"),
        ({"action": "cancel", "filter": {"input.a..b": "y"}}, "/filter/input.a..b"),
        ({"action": "cancel", "filter": {"input." + "a." * 8 + "b": "y"}}, None),
        ({"action": "cancel", "filter": {f"input.a{n}": "y" for n in range(9)}}, "/filter/input."),
        ({"action": "dead-letter.retry", "filter": {"instance": "x"}}, "/filter/instance"),
        ({"action": "cancel", "filter": RUNS, "step": 1}, ""),
    ],
)
def test_what_is_refused(api: Api, body: Any, pointer: str | None):
    answer = api.post("/v1/operations", json=body)
    assert (answer.status_code, problem(answer)) == (422, "invalid-request")
    if pointer is not None:
        assert answer.json["errors"][0]["pointer"] == pointer
    assert api.content()["bulk_operations"] == 0


def test_many_are_told_what_each_of_them_may_be_told(api: Api):
    """The filter is in SQL and the rule in the core: none that would obey is left out."""
    workflow = Workflow(document())
    states = [(each, undone) for each in Status for undone in Compensation]
    for command in bulk_operation_queries.ALLOWED:
        obeying = {
            (status.value, undone.value)
            for status, undone in states
            if obeys(workflow, command, status, undone)
        }
        assert obeying, command
        rows = api.all(
            "select * from unnest(%s::text[], %s::text[]) as t(status, compensation)"
            f" where {bulk_operation_queries.ALLOWED[command]}",
            [status.value for status, _ in states],
            [undone.value for _, undone in states],
        )
        assert set(rows) >= obeying, command


def obeys(workflow: Workflow, command: str, status: Status, undone: Compensation) -> bool:
    """Whether an instance without any step obeys; one that is undone has its undoing before it."""
    state = {"undo": {"before": None, "to": 0, "error": None, "done": 0,
                      "compensation_before": "none", "reply": None, "reports": False}}  # fmt: skip
    undoing = undone is Compensation.RUNNING
    instance = Instance("i", "shop", "w", status, undone, state=state if undoing else None)
    asked = Stimulus(StimulusKind.COMMAND, clock.now(), 1, data={"command": command}, items=0)
    loaded: dict[Need, Any] = {
        Need("open"): [],
        Need("stopped", (1,)): [],
        Need("children", (0,)): [],
    }
    told = advance(workflow, Slice(instance, loaded=loaded), asked, never)
    return told.refused is None


def outcomes(api: Api, id: str) -> dict[str, tuple[str, str | None]]:
    items = api.get(f"/v1/operations/{id}/outcomes").json["items"]
    return {each["instance"]: (each["outcome"], each["reason"]) for each in items}


def test_each_instance_has_an_outcome(api: Api, runs: list[str]):
    """The second command finds the first one's effect: it is refused, with the reason."""
    first, second = make(api, "suspend").json["id"], make(api, "suspend").json["id"]
    work(api)
    assert {each for each, _ in outcomes(api, first).values()} == {"pending"}
    services(api).state.process_inbox(runs[0])
    services(api).state.process_inbox(runs[1])
    told = outcomes(api, first)
    assert [told[each] for each in runs] == [("moved", None)] * 2 + [("pending", None)] * 3
    told = outcomes(api, second)
    assert [told[each][0] for each in runs] == ["refused"] * 2 + ["pending"] * 3
    assert all("suspended" in str(told[each][1]) for each in runs[:2])
    counts = api.get(f"/v1/operations/{second}").json["outcomes"]
    expected = {"moved": 0, "faulted_again": 0, "refused": 2, "pending": 3, "gone": 0}
    assert counts == {**expected, "exact": True}
    api.all("delete from orchestrator.instances where id = %s", runs[4])
    assert outcomes(api, first)[runs[4]] == ("gone", None)


def test_a_retried_instance_that_faults_again_is_told(api: Api):
    error = {"type": "https://shop.example/no", "status": 500}
    api.deploy(document("bad", do=[{"no": {"raise": {"error": error}}}]))
    id = api.start("bad")
    services(api).state.process_inbox(id)
    made = make(api, "retry", {"workflow": "shop/bad"}).json["id"]
    work(api)
    services(api).state.process_inbox(id)
    assert outcomes(api, made) == {id: ("faulted_again", None)}


def test_outcomes_are_read_by_page(
    api: Api, runs: list[str], monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Any]
):
    monkeypatch.setattr(working, "BATCH", 2)
    id = make(api).json["id"]
    work(api)
    seen, cursor = [], ""
    while True:
        page = api.get(f"/v1/operations/{id}/outcomes?limit=2{cursor}").json
        seen += [each["instance"] for each in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert sorted(seen) == runs
    shown = cli("operation", "show", id, "--outcomes", "-o", "json")
    assert [each["instance"] for each in shown] == seen
    letters = make(api, "dead-letter.retry", {"namespace": "shop"}).json["id"]
    assert api.get(f"/v1/operations/{letters}").json["outcomes"] is None
    assert outcomes(api, letters) == {}
