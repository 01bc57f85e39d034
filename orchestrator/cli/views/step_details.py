"""Formats the details of one step: arguments, input, output and every attempt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.cli.views.history_lines import error_line, person
from orchestrator.client import Attempt, Step
from orchestrator.terminal_text import visible

Json = Any


def step_lines(step: Step) -> Iterator[str]:
    """Yield the details of a step as lines of text."""
    yield f"{step.name}  {step.kind}  {step.status}  {step.reference}  (step {step.id})"
    yield from _times("started", step.data.get("started_at"), step.data.get("ended_at"))
    if step.skipped:
        yield f"skipped {person(step.skipped)}".rstrip()
    if step.child:
        yield f"sub-workflow: {step.child}"
    if step.compensates is not None:
        yield f"undoes step {step.compensates}"
    if step.data.get("outcome"):
        yield f"outcome: {step.data['outcome']}"
    for name, value in (
        ("arguments", step.arguments),
        ("input", step.data.get("input")),
        ("output", step.output),
    ):
        if value is not None:
            yield f"{name}:"
            yield from _json(value)
    if step.error:
        yield f"error: {error_line(step.error)}"
    for attempt in step.attempts:
        yield from _attempt(attempt)


def attempt_line(attempt: Attempt) -> str:
    """Format an attempt as one line."""
    parts = [f"attempt {attempt.number} {attempt.state}"]
    parts += [f"on {attempt.worker}"] if attempt.worker else []
    parts += [error_line(attempt.error)] if attempt.error else []
    return visible("  ".join(parts))


def _attempt(attempt: Attempt) -> Iterator[str]:
    yield attempt_line(attempt)
    data = attempt.data
    yield f"  task {data.get('task')}  id {attempt.id}  queue {data.get('queue')}"
    yield from _times("  claimed", data.get("claimed_at"), data.get("ended_at"))
    if data.get("progress") is not None:
        yield "  progress:"
        yield from (f"  {line}" for line in _json(data["progress"]))
    if data.get("traceback"):
        yield from (f"  {line}" for line in str(data["traceback"]).rstrip().splitlines())


def _times(name: str, begin: str | None, end: str | None) -> Iterator[str]:
    if begin:
        yield f"{name} {begin}" + (f"  ended {end}" if end else "")


def _json(value: Json) -> Iterator[str]:
    for line in json.dumps(value, ensure_ascii=False, indent=2).splitlines():
        yield f"  {line}"
