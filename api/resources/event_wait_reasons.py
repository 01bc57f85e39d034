"""Why an event matched or did not match, in words and in data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from api.resources.wait_reason_messages import Cause, no_control
from orchestrator import json_codec
from orchestrator.database.events.event_offer_queries import OfferRow
from orchestrator.database.events.event_queries import EventRow
from orchestrator.database.events.waiting_instance_queries import WaitingListener
from orchestrator.document.message_text import nearest_word, quoted, suggestion

#: The most listeners in one answer.
MAX_LISTENERS = 20
#: Characters that make a filter's text a pattern. A dot does not count: every type has one.
_PATTERN = re.compile(r"[\\^$*+?{}\[\]|()]")


def causes(
    row: EventRow,
    matches: Sequence[OfferRow],
    waiting: Sequence[WaitingListener],
    control: str | None,
    *,
    workers: bool = True,
) -> list[Cause]:
    """Return the effects of an event, or the reasons why it had none.

    `control`: the control queue, if no live worker serves it. `workers`: some worker is alive.
    """
    if matches:
        return [_match(match) for match in matches[:MAX_LISTENERS]]
    if row.matched_at is None and control is not None:
        return [no_control("it waits to be matched", control, workers=workers)]
    if row.matched_at is None:
        return [{"kind": "matching", "message": "a control worker is about to match it"}]
    return list(_unmatched(row, json_codec.loads(row.event), waiting))


def _match(match: OfferRow) -> Cause:
    did = "no longer needed it" if match.refused else "took it"
    message = f"step {match.step} of {match.instance} {did}"
    return {
        "kind": "refused" if match.refused else "consumed",
        "message": message if match.step else f"it started {match.instance}",
        "instance": match.instance,
        "step": match.step or None,
    }


def _unmatched(
    row: EventRow, event: dict[str, Any], waiting: Sequence[WaitingListener]
) -> Iterator[Cause]:
    of_type = [waiter for waiter in waiting if event["type"] in _types(waiter)]
    for waiter in of_type[:MAX_LISTENERS]:
        yield {
            "kind": "not-matched",
            "message": f"step {waiter.step} of {waiter.instance} waits for {event['type']}, but "
            + _difference(row, event, waiter),
            "instance": waiter.instance,
            "step": waiter.step,
        }
    if not of_type:
        yield _no_listener(row, event, waiting)


def _types(waiter: WaitingListener) -> list[str]:
    types = [(filter.get("with") or {}).get("type") for filter in waiter.filters]
    return [type for type in types if isinstance(type, str)]


def _difference(row: EventRow, event: dict[str, Any], waiter: WaitingListener) -> str:
    """Return why a listener for events of this type did not take this event."""
    if row.target_instance is None and waiter.started_at > row.created_at:
        return f"was started after it (at {waiter.started_at:%Y-%m-%d %H:%M:%S} UTC): send it again"
    if row.target_instance is None and waiter.since > row.created_at:
        return f"began to wait after it (at {waiter.since:%Y-%m-%d %H:%M:%S} UTC): send it again"
    for filter in waiter.filters:
        for name, value in (filter.get("with") or {}).items():
            if isinstance(value, str) and not _PATTERN.search(value) and event.get(name) != value:
                has = quoted(str(event[name])) if name in event else "missing"
                return f"asks for the {name} {quoted(value)}, and the event's is {has}"
    return "its condition, or its correlation with earlier events, does not hold"


def _no_listener(row: EventRow, event: dict[str, Any], waiting: Sequence[WaitingListener]) -> Cause:
    types = sorted({type for waiter in waiting for type in _types(waiter)})
    where = (
        f"the instance {row.target_instance}"
        if row.target_instance
        else f"the namespace {row.namespace}"
    )
    message = f"no listener in {where} waits for {quoted(event['type'])}"
    if row.target_instance:
        message = f"it lies in the mailbox: {where} does not wait for {quoted(event['type'])}"
    meant = nearest_word(event["type"], types)
    cause: Cause = {"kind": "no-listener", "message": message + suggestion(meant)}
    return cause if meant is None else {**cause, "meant": meant}
