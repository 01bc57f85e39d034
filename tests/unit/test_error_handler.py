"""Exceptions of tasks as errors of the DSL: what is kept, and what is not."""

from __future__ import annotations

from decimal import Decimal

from orchestrator.calls.call_secrets import MASK, Secrets
from orchestrator.error_handler.task_errors import (
    DATA_LIMIT,
    DETAIL_LIMIT,
    TRACEBACK_LIMIT,
    error_of,
)
from orchestrator.errors import WorkflowError

SECRET = "s3cr3t-" + "x" * 40


def caught(exc: BaseException) -> BaseException:
    """The exception as it comes out of a task, with a traceback."""
    try:
        raise exc
    except BaseException as raised:  # noqa: BLE001  any exception of a task
        return raised


def mask(text: str) -> str:
    secrets = Secrets({"key": SECRET}.__getitem__, ["key"])
    assert secrets.value("key") == SECRET
    return str(secrets.mask(text))


def test_an_exception_is_a_runtime_error_with_its_traceback() -> None:
    error, traceback = error_of(caught(ValueError("no such order")))
    assert error["type"].endswith("/errors/runtime")
    assert (error["status"], error["title"], error["detail"]) == (
        500, "ValueError", "no such order",
    )  # fmt: skip
    assert traceback.endswith("ValueError: no such order\n")
    assert "test_error_handler.py" in traceback


def test_a_workflow_error_says_exactly_what_it_is() -> None:
    declined = WorkflowError(type="https://shop.example/declined", status=402, title="Declined")
    assert error_of(caught(declined))[0] == {
        "type": "https://shop.example/declined", "status": 402, "title": "Declined",
    }  # fmt: skip


def test_a_workflow_error_brings_data_for_whoever_catches_it() -> None:
    data = {"limit": Decimal("1.5"), SECRET: [f"{SECRET}!", 7, None]}
    error, _ = error_of(caught(WorkflowError(status=429, data=data)), mask)
    assert error["data"] == {"limit": "1.5", MASK: [f"{MASK}!", 7, None]}


def test_data_that_is_too_much_or_none_leaves_the_error_whole() -> None:
    error, _ = error_of(caught(WorkflowError(status=429, data="x" * DATA_LIMIT)), mask)
    assert (error["status"], error["data"]) == (429, {"truncated": True})
    error, _ = error_of(caught(WorkflowError(status=429, data={"a": object()})), mask)
    assert (error["status"], list(error["data"])) == (429, ["refused"])


def test_a_traceback_is_cut_at_16_kb_whatever_its_letters() -> None:
    _, traceback = error_of(caught(ValueError("ä€" * TRACEBACK_LIMIT)))
    assert len(traceback.encode()) <= TRACEBACK_LIMIT == 16 * 1024
    assert len(traceback.encode()) > TRACEBACK_LIMIT - 8
    assert traceback.startswith("...\n")


def test_a_secret_is_masked_also_where_the_text_is_cut() -> None:
    for place in range(len(SECRET) + 1):
        head = caught(ValueError("h" * (DETAIL_LIMIT - place) + SECRET + " tail"))
        tail = caught(ValueError(SECRET + "t" * (TRACEBACK_LIMIT - 5 - place)))
        for exc in (head, tail):
            error, traceback = error_of(exc, mask)
            for text in (error["detail"], traceback):
                assert "s3c" not in text, (place, text[:80])
                assert "xxx" not in text, (place, text[:80])
    error, _ = error_of(caught(WorkflowError(detail=f"{SECRET} is wrong")), mask)
    assert error["detail"] == f"{MASK} is wrong"
