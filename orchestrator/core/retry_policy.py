"""Retry policies (dsl-reference.md, Retry): whether another try follows, and after what pause.

Counts count retries, not tries. ``limit.duration`` bounds the time from the first try to the start
of the next one; ``limit.attempt.duration`` bounds each try. Exponential pauses are the delay times
1, 2, 4 ..., linear ones times 1, 2, 3 ... (or plus an ``increment`` each); jitter is added at the
end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from orchestrator.core import dsl_errors
from orchestrator.core.data_flow import as_program, is_true, render, seconds
from orchestrator.core.draft_nodes import Node
from orchestrator.core.expression_template import Template
from orchestrator.core.model import Json
from orchestrator.core.transition_draft import Draft
from orchestrator.document.durations import MAX_DURATION


@dataclass(frozen=True, slots=True)
class Tries:
    """How often a block was retried, and when its first try began (a datetime)."""

    retries: int
    since: Any


class RetryPolicy:
    """A retry policy of the document, read once."""

    __slots__ = (
        "backoff",
        "count",
        "delay",
        "duration",
        "except_when",
        "increment",
        "jitter",
        "per_try",
        "when",
    )

    def __init__(self, definition: Mapping[str, Any]) -> None:
        limit = definition.get("limit") or {}
        attempt_limit = limit.get("attempt") or {}
        self.when = as_program(definition.get("when"), "retry.when")
        self.except_when = as_program(definition.get("exceptWhen"), "retry.exceptWhen")
        self.delay = Template(definition.get("delay", {"seconds": 0}), "retry.delay")
        self.backoff: Mapping[str, Any] = definition.get("backoff") or {}
        increment = (self.backoff.get("linear") or {}).get("increment")
        self.increment = (
            None if increment is None else Template(increment, "retry.backoff.linear.increment")
        )
        self.jitter = (
            Template(definition["jitter"], "retry.jitter") if "jitter" in definition else None
        )
        self.count: int | None = attempt_limit.get("count")
        self.per_try = (
            Template(attempt_limit["duration"], "retry.limit.attempt.duration")
            if "duration" in attempt_limit
            else None
        )
        self.duration = (
            Template(limit["duration"], "retry.limit.duration") if "duration" in limit else None
        )


def policy_of(value: Any, use: Mapping[str, Any]) -> RetryPolicy | None:
    """Return a policy, inline or from ``use.retries``. Raises `Fault` for an unknown name."""
    if isinstance(value, str):
        policies = use.get("retries") or {}
        if value not in policies:
            raise dsl_errors.configuration(f"use.retries has no {value!r}")
        value = policies[value]
    return RetryPolicy(value) if isinstance(value, Mapping) else None


def pause_before_retry(
    draft: Draft, node: Node, policy: RetryPolicy, tries: Tries, error: Json, name: str
) -> float | None:
    """Return the seconds until the next try; None: no try follows. `name`: the error's variable."""
    extra = {name: error}
    if policy.count is not None and tries.retries >= policy.count:
        return None
    if policy.when is not None and not is_true(draft, node, policy.when, error, extra):
        return None
    if policy.except_when is not None and is_true(draft, node, policy.except_when, error, extra):
        return None
    wait = _delay(draft, node, policy, tries.retries, extra) + _jitter(draft, node, policy, extra)
    if policy.duration is not None:
        max_seconds = seconds(render(draft, node, policy.duration, node.input, extra))
        if draft.at + timedelta(seconds=wait) > tries.since + timedelta(seconds=max_seconds):
            return None
    return wait


def _delay(
    draft: Draft, node: Node, policy: RetryPolicy, retries: int, extra: Mapping[str, Json]
) -> float:
    delay = seconds(render(draft, node, policy.delay, node.input, extra))
    backoff, max_seconds = policy.backoff, MAX_DURATION.total_seconds()
    if "exponential" in backoff:
        factor = (backoff["exponential"] or {}).get("factor", 2)
        # Limit the exponent to 64, so that the power cannot overflow. With the default factor 2 the
        # pause reaches its maximum much earlier.
        return min(max_seconds, delay * float(factor) ** min(retries, 64))
    if "linear" in backoff:
        step = delay
        if policy.increment is not None:
            step = seconds(render(draft, node, policy.increment, node.input, extra))
        return min(max_seconds, delay + step * retries)
    return delay


def _jitter(draft: Draft, node: Node, policy: RetryPolicy, extra: Mapping[str, Json]) -> float:
    if policy.jitter is None:
        return 0.0
    bounds = render(draft, node, policy.jitter, node.input, extra)
    low, high = seconds(bounds.get("from")), seconds(bounds.get("to"))
    if low > high:
        raise dsl_errors.configuration("a retry's jitter ends before it begins")
    return low + (high - low) * draft.random_fraction()
