"""Canvases as documents: every rule of the mapping, without a server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import celery
import pytest
from celery import Celery, chain, chord, group
from celery.canvas import _chain
from kombu.utils import json as kombu_json

from orchestrator.canvas import CanvasRefused, compensated_by, durable, expr
from orchestrator.document.loader import load
from orchestrator.json_codec import NotJson, celery_values

app = Celery("documents", set_as_current=False, broker="memory://", backend="cache+memory://")
#: Untyped: the stubs of Celery know no options of ours.
task: Any = app.task


@task(name="shop.add", shared=False)
def add(x: Any, y: Any) -> Any:
    return x + y


@task(name="shop.mul", shared=False)
def mul(x: Any, y: Any) -> Any:
    return x * y


@task(name="shop.total", shared=False)
def total(xs: Any) -> Any:
    return sum(xs)


@task(name="shop.on_id", shared=False)
def on_id(id: str) -> None: ...


@task(name="shop.on_error", shared=False)
def on_error(request: Any, exc: Any, traceback: Any) -> None: ...


@task(name="shop.refund", shared=False)
def refund(**more: Any) -> None: ...


@compensated_by(refund, charge=expr("$output.id"), by="us")
@task(name="shop.charge", shared=False)
def charge(amount: Any) -> Any: ...


def converted(canvas: Any, *args: Any, **options: Any) -> tuple[list[Any], dict[str, Any]]:
    """The tasks and the input of a canvas; the document must be valid and without warnings."""
    made = durable(canvas, **options).document(args)
    loaded = load(kombu_json.dumps(made.document), "application/json")
    assert loaded.warnings == []
    return made.document["do"], made.input


def name(canvas: Any, **options: Any) -> str:
    return durable(canvas, **options).document().name


def call(task: str, *args: str, **more: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"task": task}
    if args:
        arguments["args"] = [f"${{ {one} }}" for one in args]
    return {"call": "celery", "with": {**arguments, **more}}


# -- chains ----------------------------------------------------------------


def test_a_chain_is_steps_in_a_row_with_plain_paths() -> None:
    do, input = converted(chain(add.s(1, 1), mul.s(10)))
    assert do == [
        {"add": call("shop.add", "$workflow.input.add.args[0]", "$workflow.input.add.args[1]")},
        {"mul": call("shop.mul", ".", "$workflow.input.mul.args[0]")},
    ]
    assert input == {"add": {"args": [1, 1]}, "mul": {"args": [10]}}


def test_nested_chains_are_one_row() -> None:
    do, _ = converted(chain(add.s(1, 1), chain(mul.s(2), chain(add.s(3), mul.s(4)))))
    assert [list(task) for task in do] == [["add"], ["mul"], ["add_2"], ["mul_2"]]


def test_an_immutable_signature_gets_no_result() -> None:
    do, _ = converted(chain(add.s(1, 1), add.si(2, 2)))
    assert do[1]["add_2"]["with"]["args"] == [
        "${ $workflow.input.add_2.args[0] }",
        "${ $workflow.input.add_2.args[1] }",
    ]


def test_keyword_arguments_keep_their_names() -> None:
    do, input = converted(add.s(1, y=2))
    assert do[0]["add"]["with"]["kwargs"] == {"y": "${ $workflow.input.add.kwargs.y }"}
    assert input == {"add": {"args": [1], "kwargs": {"y": 2}}}


def test_arguments_of_the_start_come_first() -> None:
    _, input = converted(chain(add.s(2), mul.s(3)), 1)
    assert input == {"add": {"args": [1, 2]}, "mul": {"args": [3]}}


def test_a_long_row_of_like_calls_is_a_loop() -> None:
    do, input = converted(chain(add.s(0, 1), *[add.s(n) for n in range(200)]))
    assert len(do) == 2
    assert do[1]["steps"]["for"] == {"each": "item", "in": "${ $workflow.input.steps }"}
    assert do[1]["steps"]["do"] == [{"add": call("shop.add", ".", "$item.add.args[0]")}]
    assert len(input["steps"]) == 200


def test_seven_like_calls_are_steps() -> None:
    do, _ = converted(chain(add.s(0, 1), *[add.s(n) for n in range(7)]))
    assert len(do) == 8


def test_an_empty_chain_is_refused() -> None:
    with pytest.raises(CanvasRefused, match="empty chain"):
        durable(chain()).document()


def test_a_plain_row_passes_no_results() -> None:
    do, _ = converted([add.s(1, 1), add.s(2, 2)])
    assert [len(task[key]["with"]["args"]) for task in do for key in task] == [2, 2]


# -- groups ----------------------------------------------------------------


def test_a_group_of_like_members_is_one_loop_whatever_its_size() -> None:
    do, input = converted(chord([add.s(n, n) for n in range(3)], total.s()))
    loop = do[0]["group"]
    assert loop["metadata"] == {"concurrency": 1000, "onMemberFault": "finish"}
    assert loop["do"] == [{"add": call("shop.add", "$item.add.args[0]", "$item.add.args[1]")}]
    assert input["group"] == [{"add": {"args": [n, n]}} for n in range(3)]
    sizes = {
        len(
            kombu_json.dumps(
                durable(chord([add.s(n, n) for n in range(count)], total.s())).document().document
            )
        )
        for count in (2, 1000)
    }
    assert len(sizes) == 1
    assert sizes.pop() < 600


def test_a_group_of_unlike_members_is_a_fork() -> None:
    do, input = converted(group(add.s(1, 1), mul.s(2, 3)))
    assert do[0]["group"]["metadata"] == {"onMemberFault": "finish"}
    branches = do[0]["group"]["fork"]["branches"]
    assert [list(branch) for branch in branches] == [["add"], ["mul"]]
    assert input == {"add": {"args": [1, 1]}, "mul": {"args": [2, 3]}}


def test_a_group_of_like_chains_is_a_loop_over_rows() -> None:
    do, input = converted(group(chain(add.s(n, 1), mul.s(n)) for n in range(4)))
    assert [list(task) for task in do[0]["group"]["do"]] == [["add"], ["mul"]]
    assert input["group"][3] == {"add": {"args": [3, 1]}, "mul": {"args": [3]}}


def test_loops_in_loops_have_variables_of_their_own() -> None:
    inner = chord([add.s(1, 1), add.s(2, 2)], total.s())
    do, input = converted(group(chain(inner, add.s(n)) for n in range(2)))
    nested = do[0]["group"]["do"][0]["group"]
    assert nested["for"] == {"each": "item2", "in": "${ $item.group }"}
    assert nested["do"][0]["add"]["with"]["args"][0] == "${ $item2.add.args[0] }"
    assert input["group"][0]["group"] == [{"add": {"args": [1, 1]}}, {"add": {"args": [2, 2]}}]


def test_groups_directly_inside_groups_are_flattened_in_order() -> None:
    _, input = converted(group(add.s(1, 1), group(add.s(2, 2), group(add.s(3, 3))), add.s(4, 4)))
    assert [member["add"]["args"][0] for member in input["group"]] == [1, 2, 3, 4]


def test_a_chain_that_ends_in_a_group_stays_nested() -> None:
    do, _ = converted(group(chain(add.s(1, 1), group(add.s(1), mul.s(2))), add.s(3, 3)))
    member = do[0]["group"]["fork"]["branches"][0]["member"]["do"]
    assert [list(task) for task in member] == [["add"], ["group_2"]]


def test_a_group_of_one_is_a_list_at_the_top_and_its_member_in_a_chain() -> None:
    do, _ = converted(group(add.s(1, 1)))
    assert "for" in do[0]["group"]
    do, _ = converted(chain(add.s(1, 1), group(mul.s(3)), total.s()))
    assert [list(task) for task in do] == [["add"], ["mul"], ["total"]]


def test_a_body_of_one_in_a_chain_passes_its_own_result() -> None:
    # The operator would have moved the last task into the body; splicing nested chains does not.
    canvas = _chain(chord([add.s(1, 1), add.s(2, 2)], group(total.s())), mul.s(2))
    do, _ = converted(canvas)
    assert [next(iter(task)) for task in do] == ["group", "total", "mul"]


def test_a_chord_of_one_has_a_list_of_one() -> None:
    do, _ = converted(chord([add.s(1, 1)], total.s()))
    assert list(do[0]) == ["group"]


def test_empty_groups_are_as_the_installed_celery_has_them() -> None:
    do, _ = converted(group())
    assert do == [{"empty": {"set": "${ [] }"}}]
    do, _ = converted(chord([], total.s()))
    assert list(do[0]) == ["total"]
    do, _ = converted(chain(group(), total.s([1])))
    skips = tuple(int(part) for part in celery.__version__.split(".")[:2]) >= (5, 7)
    assert [list(task) for task in do] == [["total"]]
    assert len(do[0]["total"]["with"]["args"]) == (1 if skips else 2)


def test_fail_fast_withdraws_the_others() -> None:
    do, _ = converted(group(add.s(1, 1), add.s(2, 2)), fail_fast=True)
    assert do[0]["group"]["metadata"]["onMemberFault"] == "withdraw"


def test_the_header_gets_the_result_before_it() -> None:
    do, _ = converted(chain(add.s(1, 1), chord([add.s(2), add.s(3)], total.s())))
    assert do[1]["group"]["do"][0]["add"]["with"]["args"] == ["${ . }", "${ $item.add.args[0] }"]


def test_maps_call_the_inner_task_by_its_literal_name() -> None:
    do, input = converted(add.starmap([(1, 2), (3, 4)]))
    assert do[0]["starmap"]["with"] == {
        "task": "celery.starmap",
        "kwargs": {"task": "shop.add", "it": "${ $workflow.input.starmap.kwargs.it }"},
    }
    assert input == {"starmap": {"kwargs": {"it": [(1, 2), (3, 4)]}}}


def test_chunks_are_a_loop_of_starmaps() -> None:
    for canvas in (add.chunks([(n, n) for n in range(7)], 3), add.chunks([(1, 1)], 3).group()):
        do, _ = converted(canvas)
        assert list(do[0]["group"]["do"][0]) == ["starmap"]
    assert name(add.chunks([(1, 1)] * 7, 3)) == name(add.chunks([(2, 2)], 3))


def test_chords_need_no_result_backend() -> None:
    bare = Celery("bare", set_as_current=False, broker="memory://")

    def get_(*args: Any) -> Any: ...

    get: Any = bare.task(name="bare.get", shared=False)(get_)
    canvas = chain(get.s(1), group(get.s(2), get.si(3)), get.s(), chord([get.s(4)], get.s()))
    do, _ = converted(canvas)
    assert [next(iter(task)) for task in do] == ["get", "group", "get_4", "group_2", "get_5"]


# -- names -----------------------------------------------------------------


def test_values_and_numbers_of_members_do_not_change_the_document() -> None:
    assert name(chain(add.s(1, 1), mul.s(2))) == name(chain(add.s(7, 8), mul.s("x")))
    assert name(group(add.s(1, 1), add.s(2, 2))) == name(group(add.s(n, n) for n in range(50)))


@pytest.mark.parametrize(
    "other",
    [
        lambda: chain(add.s(1, 1), mul.s(2), mul.s(3)),
        lambda: chain(add.s(1, 1), mul.si(2, 2)),
        lambda: chain(add.s(1, 1), mul.s(2).set(queue="slow")),
        lambda: chain(add.s(1, 1), mul.s(2).set(priority=3)),
        lambda: chain(add.s(1, 1), mul.s(2).set(compensate=refund.s())),
        lambda: chain(add.s(1, 1), mul.s(y=2)),
    ],
)
def test_the_shape_changes_the_name(other: Callable[[], Any]) -> None:
    assert name(other()) != name(chain(add.s(1, 1), mul.s(2)))


def test_the_name_is_a_valid_one_and_the_version_fixed() -> None:
    document = durable(add.s(1, 1)).document().document["document"]
    assert document["name"].startswith("canvas-")
    assert document["version"] == "1.0.0"
    assert document["title"] == "add"
    assert document["metadata"] == {"values": "celery", "generated": True}


def test_the_canvas_itself_is_not_changed() -> None:
    canvas = chain(add.s(1, 1), group(add.s(1), mul.s(2)), total.s().set(link=[mul.s(3)]))
    before = kombu_json.dumps(canvas)
    converted(canvas)
    assert kombu_json.dumps(canvas) == before


# -- options ---------------------------------------------------------------


def test_queue_and_priority_are_the_documents() -> None:
    do, _ = converted(add.s(1, 1).set(queue="slow", priority=3))
    assert do[0]["add"]["with"]["queue"] == "slow"
    assert do[0]["add"]["with"]["priority"] == 3


def test_options_of_a_group_apply_to_all_members_those_of_a_chain_to_its_first_task() -> None:
    do, _ = converted(group([add.s(1, 1), mul.s(2, 2)], queue="slow"))
    branches = do[0]["group"]["fork"]["branches"]
    assert [branch[key]["with"]["queue"] for branch in branches for key in branch] == ["slow"] * 2
    do, _ = converted(chain(add.s(1, 1), mul.s(2)).set(queue="slow"))
    assert do[0]["add"]["with"]["queue"] == "slow"
    assert "queue" not in do[1]["mul"]["with"]


def test_a_countdown_is_a_wait_from_the_input() -> None:
    do, input = converted(chain(add.s(1, 1), mul.s(2).set(countdown=1.5)))
    assert do[1] == {"mul_delay": {"wait": "${ $workflow.input.mul.delay }"}}
    assert input["mul"]["delay"] == {"milliseconds": 1500}


def test_an_eta_is_a_wait_until_then() -> None:
    eta = datetime(2030, 1, 1, tzinfo=UTC)
    do, input = converted(add.s(1, 1).set(eta=eta))
    assert "now" in do[0]["add_delay"]["wait"]
    assert input["add"]["delay"] == eta.timestamp()


def test_limits_have_their_own_metadata() -> None:
    do, input = converted(add.s(1, 1).set(time_limit=5, expires=30))
    assert do[0]["add"]["metadata"] == {
        "timeLimit": {"milliseconds": 5000},
        "expires": "${ $workflow.input.add.expires }",
    }
    assert input["add"]["expires"] == {"milliseconds": 30_000}


def test_what_concerns_messages_has_no_effect() -> None:
    options = {"retry": True, "retry_policy": {"max_retries": 3}, "ignore_result": True}
    assert name(add.s(1, 1).set(**options)) == name(add.s(1, 1))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"serializer": "pickle"}, "serializer 'pickle' is refused"),
        ({"headers": {"tenant": "a"}}, "steps have no headers"),
        ({"exchange": "x"}, "use `queue`"),
        ({"routing_key": "x"}, "use `queue`"),
        ({"soft_time_limit": 3}, "where the task is defined"),
        ({"stamped_headers": ["x"], "x": 1}, "stamps"),
        ({"unheard": 1}, "`unheard` has no durable form"),
        ({"link_error": [app.signature("shop.unknown")]}, "not registered"),
        ({"link_error": [chain(add.s(1), add.s(2))]}, "must be one task"),
        ({"compensate": chain(add.s(1), add.s(2))}, "one task"),
    ],
)
def test_what_has_no_durable_form_is_refused_with_its_reason(
    options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CanvasRefused, match=reason):
        durable(chain(add.s(1, 1), add.s(2).set(**options))).document()


def test_a_canvas_has_no_compensation_but_its_tasks() -> None:
    canvas: Any = chain(add.s(1, 1), mul.s(2))
    with pytest.raises(CanvasRefused, match="single tasks"):
        durable(canvas.set(compensate=refund.s())).document()


def test_only_signatures_are_canvases() -> None:
    with pytest.raises(CanvasRefused, match="a signature is expected, not int"):
        durable(7).document()


# -- callbacks -------------------------------------------------------------


def test_a_callback_runs_beside_the_rest_and_changes_nothing() -> None:
    do, _ = converted(chain(add.s(1, 1).set(link=[mul.s(3)]), total.s()))
    fork = do[1]["callbacks"]
    assert fork["output"] == {"as": "${ .[0] }"}
    rest, callback = fork["fork"]["branches"]
    assert rest == {"total": call("shop.total", ".")}
    assert callback["callback"]["catch"] == {}
    assert callback["callback"]["try"][0]["mul"]["with"]["args"][0] == "${ . }"


def test_the_callback_of_a_group_is_its_first_members_that_of_a_chain_its_last_tasks() -> None:
    canvas = group(add.s(1, 1), add.s(2, 2))
    canvas.link(mul.s(3))
    do, _ = converted(canvas)
    first, second = do[0]["group"]["fork"]["branches"]
    assert "callbacks" in first["member"]["do"][1]
    assert list(second) == ["add_2"]
    row = chain(add.s(1, 1), add.s(2))
    row.link(mul.si(3, 3))
    do, _ = converted(row)
    assert [next(iter(task)) for task in do] == ["add", "add_2", "callbacks"]


def test_an_error_callback_runs_once_for_a_whole_chain_and_the_error_goes_on() -> None:
    do, _ = converted(chain(add.s(1, 1), mul.s(2)).on_error(on_id.s()))
    guard = do[0]["guarded"]
    assert guard["metadata"] == {"rethrow": True}
    assert [next(iter(task)) for task in guard["try"]] == ["add", "mul"]
    (handler,) = guard["catch"]["do"]
    assert handler["errback"]["try"] == [{"on_id": call("shop.on_id", "$workflow.id")}]


def test_an_error_callback_of_three_arguments_gets_the_error() -> None:
    do, _ = converted(add.s(1, 1).on_error(on_error.s()))
    (handler,) = do[0]["guarded"]["catch"]["do"]
    (body,) = handler["errback"]["try"]
    assert body["on_error"]["with"]["args"] == ["${ $error }"]
    assert body["on_error"]["metadata"] == {"errback": True}


@pytest.mark.filterwarnings("ignore:task_allow_error_cb_on_chord_header")
def test_the_error_callback_of_a_chord_answers_its_header_too() -> None:
    do, _ = converted(chord([add.s(1, 1), add.s(2, 2)], total.s()).on_error(on_id.s()))
    (guard,) = do
    assert [next(iter(task)) for task in guard["guarded"]["try"]] == ["group", "total"]


def test_a_closing_task_runs_after_success_and_after_failure() -> None:
    do, _ = converted(chain(add.s(1, 1), mul.s(2)), finally_=refund.s(a=1))
    main, closing = do
    assert main["main"]["metadata"] == {"rethrow": True}
    assert list(main["main"]["catch"]["do"][0]) == ["refund"]
    assert closing["closing"]["output"] == {"as": "${ $input }"}


# -- compensation ----------------------------------------------------------


def test_a_compensation_is_said_once_at_the_task() -> None:
    do, input = converted(charge.s(5))
    assert do[0]["charge"]["metadata"]["compensate"] == {
        "call": "celery",
        "with": {
            "task": "shop.refund",
            "kwargs": {
                "charge": "${ $output.id }",
                "by": "${ $workflow.input.charge.compensate.kwargs.by }",
            },
        },
    }
    assert input["charge"]["compensate"] == {"kwargs": {"by": "us"}}


def test_a_signature_may_have_its_own_compensation() -> None:
    do, _ = converted(charge.s(5).set(compensate=refund.s(id=expr("$output.other"))))
    undo = do[0]["charge"]["metadata"]["compensate"]["with"]
    assert undo["kwargs"] == {"id": "${ $output.other }"}


def test_it_leaves_no_process_in_a_message_of_plain_celery() -> None:
    published: list[Any] = []

    def look(body: Any = None, properties: Any = None, **_: Any) -> None:
        published.append(kombu_json.dumps([body, properties], default=str))

    from celery.signals import before_task_publish

    before_task_publish.connect(look, weak=False, dispatch_uid="look")
    try:
        marked = mul.s(2).set(compensate=refund.s(expr("$output.id")))
        inner = group(add.s(2).set(compensate=refund.s()), add.s(3))
        chain(add.s(1, 1).set(compensate=refund.s()), marked, inner).apply_async()
        add.s(1, 1).set(link=[marked], link_error=[on_id.s().set(compensate=refund.s())]).delay()
        charge.delay(5)
    finally:
        before_task_publish.disconnect(look, dispatch_uid="look")
    assert len(published) == 3
    assert "shop.mul" in published[0]
    assert "shop.mul" in published[1]
    assert not any("compensate" in text or "refund" in text for text in published)


# -- values ----------------------------------------------------------------


def test_values_keep_kombus_tags() -> None:
    value = [Decimal("1.10"), datetime(2026, 1, 2, tzinfo=UTC), b"\x00", {"k": (1, 2**70)}]
    encoded = celery_values.encode(value)
    assert encoded[0] == {"__type__": "decimal", "__value__": "1.10"}
    assert celery_values.decode(encoded) == [*value[:3], {"k": [1, 2**70]}]


def test_nan_is_refused_and_said() -> None:
    with pytest.raises(NotJson, match="NaN and infinite numbers are not JSON"):
        celery_values.encode([1.0, float("nan")])


def test_an_unknown_tag_is_refused() -> None:
    with pytest.raises(NotJson, match=r"'shop\.money' is not registered with kombu here"):
        celery_values.decode([{"__type__": "shop.money", "__value__": 1}])
