"""The causes of an instance's waiting, in words for people and in data for programs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orchestrator import json_codec
from orchestrator.core.engine_version import SUPPORTED
from orchestrator.core.model import Status
from orchestrator.database.instances.instance_queries import InstanceWithPayloads
from orchestrator.database.instances.step_queries import Waiting
from orchestrator.database.instances.wait_reason_queries import (
    Inbox,
    OpenDeadLetter,
    UnknownOutcome,
)

Cause = dict[str, Any]


def unknown_reason(found: InstanceWithPayloads) -> Cause:
    """Return that no cause is known, or that the instance is final."""
    if not found.is_final:
        return {"kind": "moving", "message": "nothing is awaited: a transition is under way"}
    message = f"the instance is {found.status}"
    if found.error:
        message += _error_of(json_codec.loads(found.error))
    if found.status == Status.FAULTED and found.compensation == "none":
        message += ", and nothing was undone: a person may retry, skip or compensate"
    elif found.compensation == "completed":
        message += ", and was undone: start it anew"
    return {"kind": "ended", "message": message}


def _error_of(error: Mapping[str, Any]) -> str:
    """Return the place and the reason of an instance's error."""
    place = error.get("instance")
    parts = [f" at {place}" if isinstance(place, str) and place != "/" else ""]
    parts += [f": {text}" for text in (error.get("detail") or error.get("title"),) if text]
    return "".join(parts)


def repaired_child(step: int, reference: str, child: str) -> Cause:
    """Return that the sub-workflow of a faulted step has completed since."""
    return {
        "kind": "repaired-child",
        "message": f"its sub-workflow {child} has completed since: a retry takes its result",
        "step": step,
        "reference": reference,
        "instance": child,
    }


def unknown_engine(engine: int) -> Cause:
    """Return that only workers of another release may process the instance."""
    known = ", ".join(str(version) for version in sorted(SUPPORTED))
    message = (
        f"it was started under engine {engine}, and this release knows {known}:"
        " only workers of a release that knows it continue it"
    )
    return {"kind": "engine", "message": message}


def suspended(last: tuple[str, datetime, str | None] | None) -> Cause:
    """Return that the instance is suspended: by whom, when and why, if it is recorded."""
    if last is None:
        return {"kind": "suspended", "message": "the instance is suspended"}
    actor, at, reason = last
    message = f"suspended by {actor}" + (f": {reason}" if reason else "")
    return {"kind": "suspended", "message": message, "since": at}


def compensating(status: str, undone: int, remaining: int) -> Cause:
    """Return that the completed steps are being undone."""
    message = f"the instance is {status} and undoes what it completed: {undone} undone"
    return {"kind": "compensating", "message": f"{message}, {remaining} to go"}


def dead_letter(dead_letter: OpenDeadLetter) -> Cause:
    """Return that a dead letter waits for a person."""
    subject = "" if dead_letter.reference else f"step {dead_letter.step} "
    reason = dead_letter.error or dead_letter.reason
    return {
        "kind": "dead-letter",
        "message": f"{subject}gave up and waits for a person: {reason}",
        "step": dead_letter.step,
        "reference": dead_letter.reference,
        "since": dead_letter.since,
        "dead_letter": dead_letter.id,
    }


def unknown_outcome(found: UnknownOutcome) -> Cause:
    """Return that the outcome of a faulted step is unknown."""
    if found.lost:
        message = f"it is unknown whether {found.reference} did its work"
    else:
        message = f"{found.reference} did its work, but its output could not be stored"
    message += ": it was undone" if found.undone else ", and it was not undone"
    if found.error:
        message += f" ({found.error})"
    return {
        "kind": "unknown-outcome",
        "message": message,
        "step": found.step,
        "reference": found.reference,
        "since": found.since,
    }


#: The names of an inbox's stimuli, in singular and plural.
_WAITING = {
    "start": ("start", "starts"),
    "result": ("result of a step", "results of steps"),
    "timer": ("fired timer", "fired timers"),
    "event": ("event", "events"),
    "child": ("report of a sub-workflow", "reports of sub-workflows"),
    "command": ("command", "commands"),
    "agenda": ("continuation", "continuations"),
}


def no_control(subject: str, queue: str, *, workers: bool) -> Cause:
    """Return that nobody serves the control queue. `workers`: some worker is alive."""
    missing = f"no control worker: no live worker serves the queue {queue}"
    return {
        "kind": "no-control",
        "message": f"{subject}; {missing if workers else 'no worker is alive'}",
        "queue": queue,
        "workers": workers,
    }


def pending_stimuli(inbox: Inbox, queue: str, *, workers: bool) -> Cause:
    """Return that stimuli wait in the inbox. `workers`: some worker is alive."""
    since = {"since": inbox.since, "queue": queue}
    subject = f"{_counted(inbox.kinds)} {'waits' if inbox.waiting == 1 else 'wait'}"
    if not inbox.control:
        return {**no_control(subject, queue, workers=workers), **since}
    if inbox.deferred:
        message = f"{subject}, and {inbox.deferred} can't be applied: the workers' log says why"
        return {"kind": "stuck", "message": message, **since}
    return {"kind": "inbox", "message": f"{subject} for a control worker", **since}


def _counted(kinds: Mapping[str, int]) -> str:
    """Return such as ``1 command and 2 events``."""
    counts = [
        f"{count} {_WAITING.get(kind, (kind, kind))[count != 1]}"
        for kind, count in sorted(kinds.items())
    ]
    return " and ".join(filter(None, (", ".join(counts[:-1]), counts[-1])))


def child(step: int, instance: str, status: str) -> Cause:
    """Return that a sub-workflow is open."""
    message = f"waits for the sub-workflow {instance}, which is {status}"
    return {"kind": "workflow", "message": message, "step": step, "instance": instance}


def timer(waiting: Waiting) -> Cause:
    """Return that a timer has not fired yet."""
    return _until("timer", f"waits until {_time(waiting)} ({waiting.timer})", waiting)


def retry(waiting: Waiting, error: str | None) -> Cause:
    """Return that a failed step waits for its next try."""
    after = f" after: {error}" if error else ""
    return _until("retry", f"is tried again at {_time(waiting)}{after}", waiting)


def overdue(waiting: Waiting) -> Cause:
    """Return that a timer is due and no beat fires it."""
    message = f"was due at {_time(waiting)} ({waiting.timer}) and did not fire: no beat runs"
    return _until("no-beat", message, waiting)


def event(waiting: Waiting) -> Cause:
    """Return that a listener waits for events."""
    filters = json_codec.loads(waiting.filters) if waiting.filters else []
    types = [(filter.get("with") or {}).get("type") or "any type" for filter in filters]
    mode = f"{waiting.mode} of " if len(types) > 1 else ""
    return {
        "kind": "event",
        "message": f"waits for an event: {mode}{', '.join(map(str, types)) or 'any'}",
        "step": waiting.step,
        "reference": waiting.reference,
        "since": waiting.since,
        "filters": filters,
    }


def event_came(waiting: Waiting, *, suspended: bool) -> Cause:
    """Return that an event for a listener is not applied yet."""
    until = "until the instance is resumed" if suspended else "until a control worker applies it"
    return {
        "kind": "event-came",
        "message": f"took an event, which waits {until}",
        "step": waiting.step,
        "reference": waiting.reference,
        "since": waiting.since,
    }


def _time(waiting: Waiting) -> str:
    return f"{waiting.due_at:%Y-%m-%d %H:%M:%S} UTC"


def _until(kind: str, message: str, waiting: Waiting) -> Cause:
    cause: Cause = {
        "kind": kind,
        "message": message,
        "until": waiting.due_at,
        "since": waiting.since,
    }
    if waiting.step is not None:
        cause |= {"step": waiting.step, "reference": waiting.reference}
    return cause
