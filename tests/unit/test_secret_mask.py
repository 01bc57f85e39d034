"""Secrets in log lines, in their extra fields, and in what an exception carries."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Retry

from orchestrator.calls.call_secrets import MASK, Secrets
from orchestrator.execution.context_variables import current_attempt
from orchestrator.execution.step.running_attempt import RunningAttempt
from orchestrator.execution.step.secret_mask import mask_exception, watch_logs

SECRET = "s3cret-value"


@pytest.fixture
def secrets() -> Secrets:
    made = Secrets({"pin": SECRET}.__getitem__, ("pin",))
    made.value("pin")
    return made


@pytest.fixture
def step(secrets: Secrets) -> Iterator[None]:
    """A step with this secret runs in this thread."""
    factory, make = logging.getLogRecordFactory(), logging.Logger.makeRecord
    watch_logs()
    running: Any = SimpleNamespace(secrets=secrets)
    token = current_attempt.set(running)
    yield
    current_attempt.reset(token)
    logging.setLogRecordFactory(factory)
    logging.Logger.makeRecord = make  # type: ignore[method-assign]


class Opaque:
    def __str__(self) -> str:
        return f"Opaque({SECRET})"


@pytest.mark.parametrize(
    "value", [SECRET, {"a": [SECRET]}, [SECRET], (SECRET,), Opaque(), f"x{SECRET}x"]
)
def test_the_extra_fields_of_a_line_are_masked(step, caplog, value: Any):
    logging.getLogger("users.code").warning("charging", extra={"card": value, "order": 7})
    (record,) = caplog.records
    assert SECRET not in str(record.card)
    assert MASK in str(record.card)
    assert record.order == 7


def test_other_threads_lines_are_left_alone(caplog):
    logging.getLogger("users.code").warning("charging", extra={"card": SECRET})
    assert caplog.records[0].card == SECRET


def test_the_exception_that_a_retry_carries_is_masked(secrets: Secrets):
    """Celery sends it in the event `task-retried`."""
    retry = Retry("again", exc=ValueError(f"refused {SECRET}"))
    mask_exception(retry, secrets.mask)
    assert SECRET not in repr(retry.exc)
    assert MASK in repr(retry.exc)


def test_progress_is_masked(secrets: Secrets):
    shown: list[str] = []
    running: Any = RunningAttempt.__new__(RunningAttempt)
    running._committer = SimpleNamespace(show_progress=lambda _, json: shown.append(json))
    running.claimed, running.secrets = None, secrets
    running.show_progress(f'{{"at": "{SECRET}", "n": 3}}')
    assert shown == [f'{{"at":"{MASK}","n":3}}']
