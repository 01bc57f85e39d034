"""Event consumption that waits for no event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.document.checks.check_context import Context

Json = Any


def check(context: Context) -> None:
    """Warn where a `listen` task ends without any event, or no event starts the workflow."""
    for site in context.sites:
        if site.kind == "listen":
            place = f"{site.pointer}/listen/to"
            for each in _empty(site.body["listen"]["to"], place):
                context.warn(each, "without filters there is nothing to wait for", at_key=True)
    for each in _empty((context.document.get("schedule") or {}).get("on"), "/schedule/on"):
        message = "without filters no event ever starts the workflow; 'any: []' takes every event"
        context.warn(each, message, at_key=True)


def _empty(strategy: Json, pointer: str) -> list[str]:
    """Return the pointers at which a strategy has `all: []`."""
    if not isinstance(strategy, Mapping):
        return []
    here = [f"{pointer}/all"] if strategy.get("all") == [] else []
    return [*here, *_empty(strategy.get("until"), f"{pointer}/until")]
