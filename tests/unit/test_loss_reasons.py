"""Why an attempt was lost, read from the error with which it was."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from orchestrator.doctor import repairs
from orchestrator.error_handler.loss_reasons import exit_text, loss_reason
from orchestrator.error_handler.task_errors import runtime_error, timeout_error
from orchestrator.scheduler import lease_watchdog


def reason(state: str, error: dict[str, Any] | None) -> Any:
    found = loss_reason(state, error)
    return found and (found["kind"], found["signal"], found["exit"])


@pytest.mark.parametrize("error", [lease_watchdog.LOST, repairs.LOST])
def test_a_silent_worker(error: dict[str, Any]):
    assert reason("lost", error) == ("lease", None, None)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (-signal.SIGKILL, ("child-exit", "SIGKILL", None)),
        (-99, ("child-exit", "signal 99", None)),
        (9, ("child-exit", None, 9)),
        (0, ("child-exit", None, 0)),
        (None, ("child-exit", None, None)),
    ],
)
def test_a_process_that_ended(code: int | None, expected: tuple[Any, ...]):
    assert reason("lost", runtime_error("WorkerLostError", exit_text(code))) == expected


def test_a_time_limit_and_ends_that_need_no_reason():
    assert reason("failed", timeout_error(3)) == ("limit", None, None)
    assert reason("failed", runtime_error("ValueError", exit_text(-9))) is None
    assert reason("succeeded", None) is None
    assert reason("withdrawn", timeout_error(3)) is None
