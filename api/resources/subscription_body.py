"""Bodies of subscriptions: targets, secrets and filters, checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from api.http import problem_types
from api.http.problems import Problem
from api.http.request_evaluation import evaluation
from orchestrator.core.model import Json
from orchestrator.database.events.subscription_queries import SubscriptionRow
from orchestrator.event_handler import standard_webhooks
from orchestrator.event_handler.compiled_event_filter import EventFilter
from orchestrator.expressions import (
    EvaluatorUnavailable,
    ExpressionError,
    is_expression,
    program_of,
)

#: The name of an attribute of CloudEvents.
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,64}")


def new_row(namespace: str, body: dict[str, Any]) -> SubscriptionRow:
    """Return the row of a new subscription, without id and filter. Raises `Problem` 422."""
    if ("webhook" in body) == ("workflow" in body):
        raise invalid("", "either webhook or workflow is required")
    target = (
        {"workflow": body["workflow"]}
        if "workflow" in body
        else {"webhook": {"url": body["webhook"]["url"]}}
    )
    return SubscriptionRow("", namespace, body.get("description"), {}, None, False, target)


def webhook_secret(webhook: dict[str, Any]) -> str:
    """Return the webhook's secret, or a new one if it has none. Raises `Problem` 422."""
    secret: str | None = webhook.get("secret")
    if secret is not None and not standard_webhooks.is_secret(secret):
        raise invalid("/webhook/secret", "a secret is `whsec_` and 24 to 64 bytes in base64")
    return secret or standard_webhooks.new_secret()


def with_filter(row: SubscriptionRow, attributes: dict[str, Json]) -> SubscriptionRow:
    """Return the row with a filter whose expressions are valid. Raises `Problem` 422, 503."""
    for name in attributes:
        if not _ATTRIBUTE.fullmatch(name):
            raise invalid("/filter", f"{name[:100]!r} is not the name of an attribute")
    compiles = evaluation()
    for pointer, program in _programs(attributes, "/filter"):
        try:
            compiles.check(program, ())
        except ExpressionError as error:
            raise invalid(pointer, str(error)) from None
        except EvaluatorUnavailable:
            raise Problem(problem_types.NO_EVALUATOR) from None
    filter = EventFilter({"with": attributes})
    return replace(row, filter=attributes, type=filter.type, lifecycle=filter.lifecycle)


def _programs(value: Json, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _programs(item, f"{at}/{name.replace('~', '~0').replace('/', '~1')}")
    elif is_expression(value):
        yield at, program_of(value)


def invalid(pointer: str, message: str) -> Problem:
    """Return the problem of the body's member at `pointer`."""
    return Problem(problem_types.INVALID, message, [{"pointer": pointer, "message": message}])
