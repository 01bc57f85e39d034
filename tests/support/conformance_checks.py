"""Checks that cases describe in words: how long they take, what was requested, what happened."""

from __future__ import annotations

from datetime import datetime

from tests.support.conformance_cases import Outcome

#: Seconds that a case takes at least: its waits, timeouts and delays of retries, one by one.
SECONDS = {
    "sdk-java/wait-expression-context": 0.1,
    "sdk-java/wait-set": 0.2,
    "jackdaw/workflow-timeout-iso": 2,
    "jackdaw/workflow-timeout-inline": 2,
    "jackdaw/task-timeout-iso": 3,
    "jackdaw/task-timeout-inline": 2,
    "jackdaw/task-timeout-wait": 2,
    "jackdaw/nested-timeout": 2,
    "jackdaw/timeout-milliseconds": 1.5,
    "jackdaw/workflow-within-timeout": 2,
    "jackdaw/task-within-timeout": 1,
    "jackdaw/wait-iso8601-seconds": 2,
    "jackdaw/wait-iso8601-minutes": 3,
    "jackdaw/wait-inline-seconds": 1,
    "jackdaw/wait-inline-milliseconds": 0.5,
    "jackdaw/wait-inline-composite": 1.5,
    "jackdaw/wait-in-sequence": 2,
    "quarkus-flow/wait": 2,
    "tideloom/retry-linear-then-catch-do": 3 + 6,
    "tideloom/retry-exponential-exhausted": 1 + 2 + 4,
    "tideloom/retry-linear-increment": 0.04 + 0.05,
    "tideloom/retry-jitter": 1.1 + 2.1,
    "tideloom/retry-delay-iso-fraction": 1.5,
    "tideloom/retry-delay-expression": 2,
}

#: How many requests its servers get.
REQUESTS = {
    "sdk-java/http-get-404-caught": 1,
    "sdk-java/http-query-input-schema-invalid": 0,
    "sdk-java/http-head": 1,
    "sdk-java/http-options": 1,
    "sdk-java/retry-inline": 3,
    "sdk-java/retry-exhausted": 6,
    "sdk-java/attempt-duration": 1,
    "sdk-java/attempt-duration-retry": 2,
    "jackdaw/redirect-false": 1,
    "tideloom/retry-attempt-duration": 2,
}


#: Texts within a member of the output, or within the error's detail.
TEXTS = {
    "sdk-java/shell-echo": ("stdout", "Hello, anonymous"),
    "sdk-java/shell-jq-argument": ("stdout", "Hello, John Doe"),
    "sdk-java/shell-args-literal": ("stdout", "--user=john --password=doe"),
    "sdk-java/shell-return-stderr": (None, "ls:"),
    "sdk-java/script-throw": ("detail", "test error"),
    "sdk-java/script-throw-all": ("detail", "test error"),
    "quarkus-flow/run-shell": ("stdout", "Executing run shell task"),
}


def check_words(id: str, outcome: Outcome) -> None:
    """Hold what happened against what the case asks for."""
    if id in SECONDS:
        moments = (outcome.instance[name] for name in ("created_at", "ended_at"))
        began, ended = (datetime.fromisoformat(each) for each in moments)
        assert (ended - began).total_seconds() >= SECONDS[id]
    if id in TEXTS:
        member, text = TEXTS[id]
        value = outcome.error if member == "detail" else outcome.output
        assert text in (value if member is None else value[member]), value
    if id in REQUESTS:
        assert len(outcome.requests) == REQUESTS[id], outcome.requests
    if outcome.after is not None:
        assert outcome.after == "cancelled"
    types = [fact["type"] for fact in outcome.facts]
    if id == "jackdaw/task-events-three":
        assert types.count("task.created") == 3
    if id == "sdk-java/wait-cancel":
        assert {"task.cancelled", "workflow.cancelled"} <= set(types)
    for step in {fact["step"] for fact in outcome.facts if fact["step"]}:
        told = [fact["type"] for fact in outcome.facts if fact["step"] == step]
        order = [told.index(f"task.{one}") for one in _LIFE if f"task.{one}" in told]
        assert order == sorted(order), told


_LIFE = ("created", "started", "completed")
