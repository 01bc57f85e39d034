"""Runs an attempt in a forked process, which may be killed at any point."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

from orchestrator.testing.errors import TestingError

if TYPE_CHECKING:
    from celery import Task

    from orchestrator.state_manager.claimed_attempt import ClaimedAttempt
    from orchestrator.testing.deaths import MortalWorker


def run_forked(worker: MortalWorker, task: Task[Any, Any], claimed: ClaimedAttempt) -> None:
    """Run an attempt in a child process. What it does is told here at once, so that all that came
    before its death is known: its effects go into the worker's ledger, its end to the engine.

    Raises:
        TestingError: the child met a mistake of the test.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(worker, task, claimed, writing)
    os.close(writing)
    try:
        _take(worker, claimed, reading)
    finally:
        os.waitpid(child, 0)


def _be_child(worker: MortalWorker, task: Task[Any, Any], claimed: ClaimedAttempt, to: int) -> None:
    """Run the attempt, tell what it does, and exit. Only its death ends it earlier."""

    def tell(kind: str, value: Any) -> None:
        os.write(to, pickle.dumps((kind, value)))

    try:
        worker.tell = tell
        worker.run_here(task, claimed)
        if worker.mistake is not None:
            tell("mistake", str(worker.mistake))
    finally:
        os._exit(0)


def _take(worker: MortalWorker, claimed: ClaimedAttempt, reading: int) -> None:
    ended = None
    with os.fdopen(reading, "rb") as told:
        while True:
            try:
                kind, value = pickle.load(told)  # noqa: S301  written by our own child
            except EOFError:
                break
            if kind == "mistake":
                raise TestingError(value)
            if kind == "effect":
                worker.take_effect(value)
            else:
                ended = value
    if ended is None:
        worker.lose_process()
    else:
        worker.record(claimed, ended)
