"""Steps as a program follows them: what changed since, without payloads; late results, causes of
losses, idempotency keys, and what undoes what."""

from __future__ import annotations

import gzip
import json
from typing import Any

from orchestrator.error_handler.loss_reasons import exit_text
from orchestrator.error_handler.task_errors import runtime_error
from tests.support.api import Api
from tests.support.manual_workers import SAGA, Outside, call

WRITTEN = {"arguments", "input", "output"}


def steps(api: Api, id: str, query: str = "") -> Any:
    return api.get(f"/v1/instances/{id}/steps?{query}").json


def followed(api: Api, id: str, known: dict[int, Any], since: int) -> int:
    """Bring what a client knows up to date; the new mark."""
    answer = steps(api, id, f"fields=summary&since={since}")
    known |= {each["id"]: each for each in answer["items"]}
    mark: int = answer["sequence"]
    return mark


def test_a_summary_has_no_payload_and_the_beginning_of_an_error(outside: Outside) -> None:
    id = outside.start([{"a": {"call": "a", "with": {"x": "secret text"}}}], input={"i": 1})
    error = {"type": "https://shop.example/no", "status": 500, "detail": "d" * 1000, "data": 1}
    outside.finish(outside.claim(id), error, traceback="Trace")
    (whole,) = steps(outside.api, id)["items"]
    (short,) = steps(outside.api, id, "fields=summary")["items"]
    assert whole.keys() - short.keys() == WRITTEN
    assert whole["error"]["detail"] == "d" * 1000
    assert short["error"] == {
        "type": "https://shop.example/no", "status": 500, "detail": "d" * 300,
    }  # fmt: skip
    (attempt,) = short["attempts"]
    assert whole["attempts"][0].keys() - attempt.keys() == {"progress", "traceback"}
    assert attempt["error"] == short["error"]
    assert "secret" not in json.dumps(short)
    assert short["idempotency_key"] == f"{id}:{short['id']}"


def test_a_client_that_asks_what_changed_knows_what_one_knows_that_asks_for_all(
    outside: Outside,
) -> None:
    api = outside.api
    loop = {"loop": {"for": {"in": "${ [1, 2, 3] }"}, "do": [call("b")]}}
    id = outside.start([call("a"), {"f": {"fork": {"branches": [loop, call("c")]}}}, call("d")])
    known: dict[int, Any] = {}
    since = followed(api, id, known, 0)
    error = {"type": "https://shop.example/no", "status": 500}

    def same() -> None:
        nonlocal since
        since = followed(api, id, known, since)
        whole = steps(api, id, "fields=summary")
        assert since == whole["sequence"]
        assert list(known.values()) == whole["items"]

    while (work := outside.claim(id)) is not None:
        same()
        outside.finish(work, error if work.attempt.task == "d" else None)
        outside.state.process_inbox(id)
        same()
    while (work := outside.claim(id)) is not None:
        outside.finish(work)
        outside.state.process_inbox(id)
        same()
    settled = steps(api, id, f"since={since}")["items"]
    assert len(settled) < len(known)


def test_what_undoes_a_step_is_named_with_its_attempts(outside: Outside) -> None:
    id = outside.start(SAGA)
    outside.work(id, "c")
    outside.command(id, "compensate")
    outside.work(id)
    items = steps(outside.api, id)["items"]
    undoing = {each["compensates"]: each for each in items if each["compensates"]}
    for each in items:
        expected = undoing.get(each["id"], {"id": None})["id"]
        assert each["undone_by"] == expected
    told = outside.api.get(f"/v1/instances/{id}/compensation").json["undone"]
    assert [len(each["attempts"]) for each in told] == [1, 1]
    undo_b = next(each for each in told if each["name"] == "b")
    done_b = next(each for each in items if each["name"] == "b" and not each["compensates"])
    assert undo_b["idempotency_key"] == f"{id}:{done_b['id']}:/do/1/b/metadata/compensate"


def test_a_result_that_comes_too_late_is_kept_with_its_attempt(outside: Outside) -> None:
    id = outside.start([{"a": {"call": "a"}}])
    late = outside.claim(id)
    outside.state.report_lost_process(
        outside.holder, runtime_error("WorkerLostError", exit_text(-9))
    )
    outside.state.process_inbox(id)
    outside.finish(late)  # its process was only said to be gone
    (step,) = steps(outside.api, id)["items"]
    first, second = step["attempts"]
    assert first["state"] == "lost"
    assert first["because"] == {"kind": "child-exit", "signal": "SIGKILL", "exit": None}
    assert first["late"]["state"] == "succeeded"
    assert first["late"]["at"] > first["ended_at"]
    assert (second["late"], second["because"]) == (None, None)
    again = first["late"]
    outside.finish(late, {"type": "x", "status": 500})
    assert steps(outside.api, id)["items"][0]["attempts"][0]["late"] == again, "the first stays"
    work = outside.claim(id)
    outside.finish(work)
    outside.finish(work)  # its own answer, asked for again
    assert steps(outside.api, id)["items"][0]["attempts"][1]["late"] is None
    assert outside.instance(id)["output"] == {"by": "a"}


def test_a_long_list_is_compressed_for_who_takes_it(outside: Outside) -> None:
    loop = {"loop": {"for": {"in": "${ [range(200)] }"}, "do": [{"s": {"set": {"n": 1}}}]}}
    id = outside.start([loop])
    outside.work(id)
    path = f"/v1/instances/{id}/steps?limit=1000&fields=summary"
    plain = outside.api.client.get(path)
    packed = outside.api.client.get(path, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.data) == plain.data
    count = len(steps(outside.api, id, "limit=1000")["items"])
    assert len(packed.data) < 60 * count, "5,000 steps are 300 kB"
    refused = outside.api.client.get(path, headers={"Accept-Encoding": "gzip;q=0"})
    assert refused.data == plain.data
