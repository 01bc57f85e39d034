"""Why an event found nobody, in words and in data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from api.resources.wait_reason_messages import Cause
from orchestrator import json_codec
from orchestrator.database.events.event_queries import EventRow
from orchestrator.database.events.match_queries import MatchRow
from orchestrator.database.events.waiting_instance_queries import Waiter
from orchestrator.document.message_text import nearest, quoted, suggestion

#: Listeners that are named.
MOST = 20
#: What makes a text of a filter a pattern rather than a value. A dot is in every type.
_PATTERN = re.compile(r"[\\^$*+?{}\[\]|()]")


def causes(
    row: EventRow, matches: Sequence[MatchRow], waiting: Sequence[Waiter], control: str | None
) -> list[Cause]:
    """What became of an event; `control` is the control queue where no live worker serves it."""
    if matches:
        return [_match(one) for one in matches[:MOST]]
    if row.matched_at is None and control is not None:
        message = f"it waits to be matched; no control worker: no live worker serves {control}"
        return [{"kind": "no-control", "message": message, "queue": control}]
    if row.matched_at is None:
        return [{"kind": "matching", "message": "a control worker is about to match it"}]
    return list(_unmatched(row, json_codec.loads(row.event), waiting))


def _match(one: MatchRow) -> Cause:
    did = "had no use for it any more" if one.refused else "took it"
    what = f"step {one.step} of {one.instance} {did}" if one.step else f"it started {one.instance}"
    kind = "refused" if one.refused else "taken"
    return {"kind": kind, "message": what, "instance": one.instance, "step": one.step or None}


def _unmatched(row: EventRow, event: dict[str, Any], waiting: Sequence[Waiter]) -> Iterator[Cause]:
    near = [one for one in waiting if event["type"] in _types(one)]
    for one in near[:MOST]:
        yield {
            "kind": "not-matched",
            "message": f"step {one.step} of {one.instance} waits for {event['type']}, but "
            + _difference(row, event, one),
            "instance": one.instance,
            "step": one.step,
        }
    if not near:
        yield _nobody(row, event, waiting)


def _types(one: Waiter) -> list[str]:
    found = [(each.get("with") or {}).get("type") for each in one.filters]
    return [each for each in found if isinstance(each, str)]


def _difference(row: EventRow, event: dict[str, Any], one: Waiter) -> str:
    """Why a listener for events of this type did not take this one."""
    if row.target is None and one.started_at > row.created_at:
        return f"was started after it (at {one.started_at:%Y-%m-%d %H:%M:%S} UTC): send it again"
    if row.target is None and one.since > row.created_at:
        return f"began to wait after it (at {one.since:%Y-%m-%d %H:%M:%S} UTC): send it again"
    for each in one.filters:
        wanted = each.get("with") or {}
        for name, value in wanted.items():
            if isinstance(value, str) and not _PATTERN.search(value) and event.get(name) != value:
                has = quoted(str(event[name])) if name in event else "missing"
                return f"asks for the {name} {quoted(value)}, and the event's is {has}"
    return "its condition, or its correlation with earlier events, does not hold"


def _nobody(row: EventRow, event: dict[str, Any], waiting: Sequence[Waiter]) -> Cause:
    known = sorted({type for one in waiting for type in _types(one)})
    where = f"the instance {row.target}" if row.target else f"the namespace {row.namespace}"
    message = f"nobody in {where} waits for {quoted(event['type'])}"
    if row.target:
        message = f"it lies in the mailbox: {where} does not wait for {quoted(event['type'])}"
    meant = nearest(event["type"], known)
    cause: Cause = {"kind": "nobody", "message": message + suggestion(meant)}
    return cause if meant is None else {**cause, "meant": meant}
