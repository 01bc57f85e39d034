"""Every text of a document is evaluated, or refused where it looks like an expression."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.model import Status
from orchestrator.document import InvalidDocument, load
from orchestrator.document.checks.durations_and_schedules import PLACEHOLDERS
from orchestrator.document.dsl_schema import REVISIONS, language
from orchestrator.document.expression_fields import fields
from orchestrator.document.field_scope import Field
from orchestrator.document.task_sites import sites
from orchestrator.expressions import Evaluator
from orchestrator.scheduler.schedules import policy_options
from orchestrator.testing.world import World
from tests.support import text_fields
from tests.support.documents import doc
from tests.support.spec import PROJECT
from tests.support.text_fields import alone, leaves, replaced

INVENTORY = Path("tests/support/text_fields.txt")

TASKS = [alone(body) for body in (*text_fields.BUILT, *text_fields.UNBUILT)]
PLACES = [
    pytest.param(document, pointer, id=f"{number}{pointer}")
    for number, document in enumerate((*text_fields.OUTSIDE, *TASKS))
    for pointer, _ in leaves(document)
    if number < len(text_fields.OUTSIDE) or pointer.startswith("/do/")
]

#: The author's own: names under `metadata` that are none of ours, and JSON Schemas.
OWN = ("/metadata/mine", "/schema/document/title")
#: Programs, in which `${` means something of its own.
PROGRAMS = ("/run/shell/command", "/run/script/code")


def test_the_inventory() -> None:
    """What becomes of each text stands in a list that changes only on purpose."""
    written = [line.split() for line in (PROJECT / INVENTORY).read_text().splitlines()]
    assert text_fields.UNDECIDED not in text_fields.declared().values()
    assert text_fields.declared() == dict(written)


def test_each_text_of_the_inventory_stands_in_one_of_the_documents() -> None:
    seen = {
        token
        for document in (*text_fields.OUTSIDE, *TASKS)
        for pointer, _ in leaves(document)
        for token in pointer.split("/")
    }
    # January's names of two keys.
    gone = {"details", "description"}
    named = [
        [token for token in place.split("/")[1:] if token not in ("0", "*")]
        for place in text_fields.declared()
    ]
    assert {tokens[-1] for tokens in named if tokens} - seen - gone == set()


@pytest.mark.parametrize("document", [*text_fields.OUTSIDE, *TASKS])
def test_the_documents_themselves_are_accepted(document: Any) -> None:
    assert any(language(revision).validator.is_valid(document) for revision in REVISIONS)
    load(json.dumps(document), "application/json")


@pytest.mark.parametrize(("document", "pointer"), PLACES)
def test_an_expression_is_evaluated_or_refused(document: Any, pointer: str) -> None:
    changed = replaced(document, pointer, "${ .q }")
    refused = _refused(changed)
    if refused:
        assert refused & {pointer, _above(pointer)}
    else:
        assert pointer in _evaluated(changed) or pointer.endswith(OWN)


@pytest.mark.parametrize(("document", "pointer"), PLACES)
def test_an_expression_that_is_not_closed_is_refused(document: Any, pointer: str) -> None:
    assert _refused(replaced(document, pointer, "${ .q")) or pointer.endswith(OWN + PROGRAMS)


def _refused(document: Any) -> set[str]:
    """Where the document is wrong."""
    try:
        load(json.dumps(document), "application/json")
    except InvalidDocument as error:
        return {problem.pointer for problem in error.problems}
    return set()


def _above(pointer: str) -> str:
    return pointer.rpartition("/")[0]


def _evaluated(document: Any) -> dict[str, Field]:
    found = fields(document, list(sites(document)))
    return {field.pointer: field for field in found if field.is_program}


#: Read where events are matched (test_event_filters), or where nothing runs yet.
ELSEWHERE = ("/listen/to/any/0/with/", "/correlate/c/from", "/metadata/compensate/")
RUN = [
    pytest.param(document, pointer, id=f"{number}{pointer}")
    for number, document in enumerate(map(alone, text_fields.BUILT))
    for pointer, _ in leaves(document)
    if pointer.startswith("/do/") and not any(place in pointer for place in ELSEWHERE)
]


@pytest.mark.parametrize(("document", "pointer"), RUN)
def test_what_counts_as_evaluated_is_asked_for_when_it_runs(document: Any, pointer: str) -> None:
    changed = replaced(document, pointer, '${ "probe" }')
    if _refused(changed) or pointer not in _evaluated(changed):
        return
    asked: list[str] = []
    evaluator = Evaluator()

    def evaluate(program: str, value: Any, variables: Mapping[str, Any]) -> Any:
        asked.append(program)
        return evaluator.evaluate(program, value, variables)

    child = doc({"x": {"set": {"y": 1}}}, about={"name": "other"})
    world = World(changed, child, evaluate=evaluate)
    id = world.start("test/sample/", {"a": {"x": 1}})
    for attempt in world.ready():
        world.succeed(attempt)
    if world.rows[id].listeners:
        world.publish(id, {"type": "t", "id": "1", "data": {}}, matches=[0])
    world.run_out()
    evaluator.close()
    assert '"probe"' in asked


# -- queues --------------------


def test_the_queue_of_a_celery_call_is_evaluated() -> None:
    arguments = {"task": '${ "tasks.ident" }', "args": [1], "queue": "${ .q }"}
    world = World(doc({"h": {"call": "celery", "with": arguments}}))
    world.start(input={"q": "slow"})
    (attempt,) = world.ready()
    assert (attempt.task, attempt.queue) == ("tasks.ident", "slow")


def test_the_queue_under_metadata_is_evaluated_of_every_kind_of_call() -> None:
    request = {"method": "get", "endpoint": "https://example.com"}
    for body in ({"call": "t"}, {"call": "http", "with": request}):
        world = World(doc({"h": {**body, "metadata": {"queue": "${ .q }"}}}))
        world.start(input={"q": "slow"})
        (attempt,) = world.ready()
        assert attempt.queue == "slow"
        world.lose(world.claim(attempt))
        assert world.ready()[0].queue == "slow"


@pytest.mark.parametrize("queue", [None, "", 5, "q" * 256, "a\nb", ["q"]])
def test_a_queue_that_is_none_faults(queue: Any) -> None:
    world = World(doc({"h": {"call": "t", "metadata": {"queue": "${ .q }"}}}))
    id = world.start(input={"q": queue})
    assert world.instance(id).status is Status.FAULTED
    assert world.instance(id).error["type"].endswith("/expression")


def test_task_and_queue_are_known_before_the_claim_with_secrets_in_the_arguments() -> None:
    arguments = {
        "task": "${ .t }",
        "kwargs": {"pin": "${ $secrets.pin }", "n": "${ .n }"},
        "queue": "${ .q }",
    }
    world = World(doc({"h": {"call": "celery", "with": arguments}}, use={"secrets": ["pin"]}))
    world.start(input={"t": "pay", "q": "slow", "n": 1})
    (attempt,) = world.ready()
    assert (attempt.task, attempt.queue) == ("pay", "slow")
    call = world.call_of(attempt)
    assert call["deferred"]
    assert call["with"] == {"kwargs": arguments["kwargs"]}


@pytest.mark.parametrize("key", ["task", "queue"])
def test_a_secret_chooses_no_task_and_no_queue(key: str) -> None:
    arguments = {"task": "t", key: "${ $secrets.pin }"}
    document = doc({"h": {"call": "celery", "with": arguments}}, use={"secrets": ["pin"]})
    with pytest.raises(InvalidDocument, match="a secret would become data here"):
        load(json.dumps(document), "application/json")


def test_names_of_ours_are_no_programs_in_loose_mode() -> None:
    """`add` and `length` are functions of jq."""
    arguments = {"task": "add", "queue": "length"}
    document = doc({"h": {"call": "celery", "with": arguments}}, evaluate={"mode": "loose"})
    world = World(document)
    world.start(input={"a": 1})
    (attempt,) = world.ready()
    assert (attempt.task, attempt.queue) == ("add", "length")


def test_an_increment_is_evaluated() -> None:
    retry = {"delay": "PT1S", "backoff": {"linear": {"increment": "${ .i }"}}}
    retry["limit"] = {"attempt": {"count": 2}}
    error = {"type": "https://x", "status": 400}
    task = {"try": [{"x": {"raise": {"error": error}}}], "catch": {"retry": retry}}
    world = World(doc({"t": task}))
    began = world.now
    world.start(input={"i": "PT5S"})
    world.run_out()
    assert (world.now - began).total_seconds() == 1 + 6


def test_placeholders_of_a_schedule() -> None:
    assert PLACEHOLDERS == policy_options.PLACEHOLDERS
