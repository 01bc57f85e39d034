"""Commands are decided in the request: the answer tells the state after it, whoever else gives
commands, and though no control worker is alive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import pytest

from orchestrator.core.model import StimulusKind
from orchestrator.database.connection.database import UNBOUNDED
from orchestrator.database.transitions import inbox_queries
from orchestrator.testing.world import World
from tests.support.api import Api, document, problem
from tests.support.manual_workers import Outside, call
from tests.support.row_lock_races import waiting

COMMANDS = ("suspend", "resume", "cancel", "terminate", "retry", "compensate", "skip")
#: What each says besides.
BODIES = {"skip": {"step": 1}}
#: A command at which the core raises: the number of a parent's ask is no number.
UNUSABLE = {"command": "retry", "retry_run": "x"}
DO = [call("a"), call("b"), {"c": {"call": "c"}}]


@pytest.fixture(scope="module")
def _application(module_database_url: str) -> Iterator[Api]:
    """With connections for clients that wait for each other; no broker listens there."""
    made = Api.on(module_database_url, "redis://127.0.0.1:1/0", database_pool=10)
    yield made
    made.close()


def give(outside: Outside, id: str, command: str, **options: Any) -> Any:
    return outside.api.post(f"/v1/instances/{id}/{command}", **options)


def state(shown: Any) -> tuple[str, str, int]:
    return shown["status"], shown["compensation"], shown["run"]


# -- states from which pairs of commands are given: how each is reached, in the product and in the
#    core run in sequence


def pending(_: Any) -> None:
    """Not started."""


def running(at: Any) -> None:
    at.begin()


def in_flight(at: Any) -> None:
    at.begin()
    at.finish()
    at.claim()


def suspended(at: Any) -> None:
    at.begin()
    at.finish()
    at.claim()
    at.command("suspend")


def faulted(at: Any) -> None:
    at.begin()
    at.finish()
    at.fail()


def completed(at: Any) -> None:
    at.begin()
    for _ in range(3):
        at.finish()


def compensating(at: Any) -> None:
    completed(at)
    at.command("compensate")
    at.drain()


def stopped_in_flight(at: Any) -> None:
    in_flight(at)
    at.command("terminate")


STATES = (in_flight,)
MORE = (faulted, pending, running, suspended, completed, compensating, stopped_in_flight)


class Product:
    """An instance, moved by hand."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.id = outside.api.start()

    def begin(self) -> None:
        self.drain()

    def drain(self) -> None:
        self.outside.state.process_inbox(self.id)

    def claim(self) -> Any:
        return self.outside.claim(self.id)

    def finish(self) -> None:
        self.outside.finish(self.claim())

    def fail(self) -> None:
        self.outside.finish(self.claim(), {"type": "https://shop.example/no", "status": 500})

    def command(self, command: str) -> str | None:
        """Give it; why it was refused."""
        answer = give(self.outside, self.id, command, json=BODIES.get(command, {}))
        if answer.status_code == 404:  # the request names a step that is not there yet
            return "there is no step 1"
        assert answer.status_code in (202, 409), answer.text
        if answer.status_code == 202:
            assert answer.json["decided"] is True
            found = self.outside.api.get(f"/v1/instances/{self.id}")
            assert state(found.json) == state(answer.json)
            assert found.headers["ETag"] == answer.headers["ETag"]
            return None
        return str(answer.json["detail"])

    @property
    def state(self) -> tuple[str, str, int]:
        return state(self.outside.instance(self.id))


class Core:
    """The same in the core alone, where nothing comes between the commands."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.world = World(body)
        self.world.decided = True
        self.id = self.world.start(run=False)

    def begin(self) -> None:
        self.world.drain()

    drain = begin

    def claim(self) -> Any:
        return self.world.claim(self.world.ready()[0])

    def finish(self) -> None:
        self.world.succeed(self.claim(), {})

    def fail(self) -> None:
        self.world.fail(self.claim())

    def command(self, command: str) -> str | None:
        """Give it before anything that waits; why it was refused."""
        refused = len(self.world.ignored)
        data = {"command": command, **BODIES.get(command, {})}
        self.world.send_stimulus(self.id, StimulusKind.COMMAND, data=data, run=False)
        self.world.apply(self.id, self.world.rows[self.id].inbox.pop())
        return self.world.ignored[-1] if len(self.world.ignored) > refused else None

    @property
    def state(self) -> tuple[str, str, int]:
        found = self.world.instance(self.id)
        return found.status.value, found.compensation.value, found.run


@pytest.mark.parametrize(
    "reach",
    [*STATES, *(pytest.param(reach, marks=pytest.mark.slow) for reach in MORE)],
    ids=lambda reach: reach.__name__,
)
def test_each_pair_of_commands_comes_to_what_the_core_makes_of_it(
    outside: Outside, api: Api, reach: Callable[[Any], None]
) -> None:
    """No control worker is alive: nothing brings what waits between the two."""
    api.deploy(document(do=DO))
    for first, second in product(COMMANDS, COMMANDS):
        real, model = Product(outside), Core(document(do=DO))
        for at in (real, model):
            reach(at)
        for command in (first, second):
            told = real.command(command), model.command(command)
            assert told[0] == told[1], (first, second, command)
            assert real.state == model.state, (first, second, command)
        real.drain()
        model.drain()
        assert real.state == model.state, (first, second)
        assert not api.all("select 1 from orchestrator.stimuli where kind = 'command'")


@pytest.mark.parametrize("pair", [("suspend", "resume"), ("retry", "cancel"), ("cancel", "retry")])
def test_two_clients_at_once_are_answered_one_after_the_other(
    outside: Outside, api: Api, pair: tuple[str, str]
) -> None:
    """The second waits for the row lock that the first has, and is judged by what came of it."""
    id = outside.start(DO)
    if "retry" in pair:
        outside.command(id, "terminate")
    with ThreadPoolExecutor(2) as pool, api.database.transaction(UNBOUNDED) as gate:
        gate.all("select 1 from orchestrator.instances where id = %s for update", (id,))
        client = api.client.application.test_client
        asked = []
        for number, command in enumerate(pair, 1):
            asked.append(pool.submit(client().post, f"/v1/instances/{id}/{command}"))
            while waiting(api.database) < number:
                assert not any(each.done() for each in asked)
        gate.end("commit")
        answers = [each.result() for each in asked]
    first, second = (answer.status_code for answer in answers)
    assert first == 202 if pair[0] != "cancel" else first == 409
    assert second == 202
    decided = [answer.get_json().get("decided", True) for answer in answers]
    assert decided == [True, True]


def test_one_etag_from_two_clients_gives_one_202(outside: Outside, api: Api) -> None:
    id = outside.start(DO)
    headers = {"If-Match": api.get(f"/v1/instances/{id}").headers["ETag"]}
    client = api.client.application.test_client
    with ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(client().post, f"/v1/instances/{id}/{command}", headers=headers)
            for command in ("suspend", "terminate")
        ]
        answers = [each.result().status_code for each in asked]
    assert sorted(answers) == [202, 412]


# -- what cannot be decided here


def keep(api: Api, id: str) -> Any:
    """Somebody has the row lock until the end of the block."""
    gate = api.database.transaction(UNBOUNDED)
    cursor = gate.__enter__()
    cursor.all("select 1 from orchestrator.instances where id = %s for update", (id,))
    return gate


def test_a_command_that_cannot_have_the_lock_is_left_as_a_note(outside: Outside, api: Api) -> None:
    id = outside.start(DO)
    tag = api.get(f"/v1/instances/{id}").headers["ETag"]
    gate = keep(api, id)
    answer = give(outside, id, "terminate", headers={"Idempotency-Key": "t"})
    assert (answer.status_code, answer.json["decided"]) == (202, False)
    assert answer.json["status"] == "running"
    conditional = give(outside, id, "suspend", headers={"If-Match": tag})
    assert (conditional.status_code, problem(conditional)) == (503, "unavailable")
    gate.__exit__(None, None, None)
    again = give(outside, id, "terminate", headers={"Idempotency-Key": "t"})
    assert (again.json, again.headers["Idempotency-Replayed"]) == (answer.json, "true")
    found = api.get(f"/v1/instances/{id}")
    assert (found.json["pending_commands"], found.headers["ETag"]) == (1, answer.headers["ETag"])
    (listed,) = api.get("/v1/instances").json["items"]
    assert listed["pending_commands"] == 1
    # The next one is judged by what the note leads to, and decides that as well.
    refused = give(outside, id, "suspend")
    assert (refused.status_code, refused.json["detail"]) == (
        409, "the instance is cancelled already",
    )  # fmt: skip
    found = api.get(f"/v1/instances/{id}").json
    assert (found["status"], found["pending_commands"]) == ("cancelled", 0)


@pytest.mark.parametrize("why", ["open places", "engine", "older commands", "repair"])
def test_what_a_control_worker_must_decide_is_left_to_it(
    outside: Outside, api: Api, why: str
) -> None:
    id = outside.start(DO)
    if why == "open places":
        api.all("update orchestrator.instances set open_places = 501 where id = %s", id)
    elif why == "engine":
        api.all("update orchestrator.instances set engine = 99 where id = %s", id)
    else:
        told = {"command": "reconcile" if why == "repair" else "resume"}
        for _ in range(1 if why == "repair" else 21):
            inbox_queries.put(api.database, id, StimulusKind.COMMAND, data=told)
    before = api.content()["history"]
    answer = give(outside, id, "cancel")
    assert (answer.status_code, answer.json["decided"]) == (202, False)
    assert api.content()["history"] == before
    tag = {"If-Match": answer.headers["ETag"]}
    assert give(outside, id, "cancel", headers=tag).status_code == 503


def test_a_command_that_can_t_be_applied_keeps_no_later_one(outside: Outside, api: Api) -> None:
    """A control worker lets the others pass it; from then on, they are decided at once."""
    id = outside.start(DO)
    inbox_queries.put(api.database, id, StimulusKind.COMMAND, data=UNUSABLE)
    first = give(outside, id, "suspend")
    assert (first.status_code, first.json["decided"]) == (202, False)
    outside.state.process_inbox(id)
    assert outside.instance(id)["status"] == "suspended"
    second = give(outside, id, "resume")
    assert (second.status_code, second.json["decided"]) == (202, True)
    assert second.json["status"] == "running"
    assert outside.instance(id)["pending_commands"] == 1


def test_nothing_is_settled_while_a_command_waits(outside: Outside, api: Api) -> None:
    id = outside.start(DO)
    outside.command(id, "terminate")
    inbox_queries.put(api.database, id, StimulusKind.COMMAND, data={"command": "resume"})
    ((last,),) = api.all("select sequence from orchestrator.instances")
    client = api.client.application.test_client()
    events = {"Accept": "text/event-stream"}
    stream = client.get(f"/v1/instances/{id}/history", headers=events, buffered=False)
    told = stream.iter_encoded()
    while not next(told).startswith(b"id: %d" % last):
        pass
    waits = api.client.application.extensions["orchestrator"].waiters._waits
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            api.client.application.test_client().get, f"/v1/instances/{id}?wait=60"
        )
        while not waits:
            assert not waiting.done(), "it did not wait"
        outside.state.process_inbox(id)
        assert waiting.result().get_json()["pending_commands"] == 0
    assert b"command.refused" in b"".join(told)
    (refused,) = outside.told(id, "command.refused")
    assert refused == {"command": "resume", "reason": "the instance is cancelled"}


# -- refusals


def test_what_still_runs_says_when_to_ask_again(outside: Outside) -> None:
    id = outside.start(DO)
    work = outside.claim(id)
    outside.command(id, "terminate")
    refused = give(outside, id, "retry")
    assert (refused.status_code, problem(refused)) == (409, "wrong-status")
    assert "still runs" in refused.json["detail"]
    assert int(refused.headers["Retry-After"]) > 0
    outside.finish(work)
    assert give(outside, id, "retry").json["run"] == 2
    ended = give(outside, id, "resume")
    assert (ended.status_code, "Retry-After" in ended.headers) == (409, False)


def test_a_refused_command_leaves_nothing(outside: Outside, api: Api) -> None:
    id = outside.start(DO)
    before = api.checksums()
    assert give(outside, id, "resume", headers={"Idempotency-Key": "r"}).status_code == 409
    assert api.checksums() == before


# -- crashes


class Died(BaseException):
    """The API's process is gone."""


@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
def test_the_api_dies_around_the_commit(
    outside: Outside, api: Api, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it nothing has happened; after it the key replays the answer, and what follows is
    found without the hint."""
    id = outside.start(DO)
    outside.command(id, "terminate")
    before, headers = api.checksums(), {"Idempotency-Key": "once"}

    def dies(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as broken:
        name = (
            "api.http.idempotency.idempotency_queries.record"
            if moment.startswith("before")
            else "api.http.idempotency.respond_recorded"
        )
        broken.setattr(name, dies)
        if moment.startswith("after"):
            broken.setattr("api.resources.instance_decision.Change._post_commit", dies)
        with pytest.raises(Died):
            give(outside, id, "retry", headers=headers)
    if moment.startswith("before"):
        assert api.checksums() == before
    else:
        assert outside.instance(id)["run"] == 2
        assert inbox_queries.overdue(api.database, 0)[0].instance == id
    again = give(outside, id, "retry", headers=headers)
    assert (again.status_code, again.json["run"]) == (202, 2)
    assert ("Idempotency-Replayed" in again.headers) is moment.startswith("after")
    outside.state.process_inbox(id)
    assert outside.work(id) == ["a", "b", "c"]
    assert len(outside.told(id, "workflow.retried")) == 1
