"""Each cause of standing still, told: in words for people and in data for programs."""

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
    Call,
    Home,
    Inbox,
    OpenDeadLetter,
    UnknownOutcome,
)
from orchestrator.document.message_text import nearest, suggestion

Cause = dict[str, Any]


def unknown_reason(found: InstanceWithPayloads) -> Cause:
    """No cause is known."""
    if not found.is_final:
        return {"kind": "moving", "message": "nothing is awaited: a transition is under way"}
    message = f"the instance is {found.status}"
    if found.status == Status.FAULTED and found.compensation == "none":
        message += ", and nothing was undone: a person may retry, skip or compensate"
    elif found.compensation == "completed":
        message += ", and was undone: start it anew"
    return {"kind": "ended", "message": message}


def unknown_engine(engine: int) -> Cause:
    """Only workers of another release may decide it."""
    known = ", ".join(str(each) for each in sorted(SUPPORTED))
    message = (
        f"it was started under engine {engine}, and this release knows {known}:"
        " only workers of a release that knows it go on with it"
    )
    return {"kind": "engine", "message": message}


def suspended(last: tuple[str, datetime, str | None] | None) -> Cause:
    """Somebody suspended the instance: who, when and why."""
    if last is None:
        return {"kind": "suspended", "message": "the instance is suspended"}
    actor, at, reason = last
    message = f"suspended by {actor}" + (f": {reason}" if reason else "")
    return {"kind": "suspended", "message": message, "since": at}


def compensating(status: str, undone: int, left: int) -> Cause:
    """What was completed is being undone."""
    message = f"the instance is {status} and undoes what it completed: {undone} undone"
    return {"kind": "compensating", "message": f"{message}, {left} to go"}


def dead_letter(letter: OpenDeadLetter) -> Cause:
    """An undoing gave up and waits for a person."""
    what = "" if letter.reference else f"step {letter.step} "
    why = letter.error or letter.reason
    return {
        "kind": "dead-letter",
        "message": f"{what}gave up and waits for a person: {why}",
        "step": letter.step,
        "reference": letter.reference,
        "since": letter.since,
        "dead_letter": letter.id,
    }


def unknown_outcome(found: UnknownOutcome) -> Cause:
    """A step that faulted although its work was done, or may have been."""
    if found.lost:
        message = f"nobody knows whether {found.reference} did its work"
    else:
        message = f"{found.reference} did its work, but its output could not be kept"
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


#: What waits in an inbox, by the kind of the stimulus: one of it, and several.
_WAITING = {
    "start": ("start", "starts"),
    "result": ("result of a step", "results of steps"),
    "timer": ("fired timer", "fired timers"),
    "event": ("event", "events"),
    "child": ("report of a sub-workflow", "reports of sub-workflows"),
    "command": ("command", "commands"),
    "go_on": ("continuation", "continuations"),
}


def pending_stimuli(inbox: Inbox, queue: str) -> Cause:
    """Stimuli wait in the inbox."""
    since = {"since": inbox.since, "queue": queue}
    what = f"{_counted(inbox.kinds)} {'waits' if inbox.waiting == 1 else 'wait'}"
    if not inbox.control:
        message = f"{what}; no control worker: no live worker serves the queue {queue}"
        return {"kind": "no-control", "message": message, **since}
    if inbox.aside:
        message = f"{what}, and {inbox.aside} can't be applied: the workers' log says why"
        return {"kind": "stuck", "message": message, **since}
    return {"kind": "inbox", "message": f"{what} for a control worker", **since}


def _counted(kinds: Mapping[str, int]) -> str:
    """``1 command and 2 events``."""
    each = [
        f"{count} {_WAITING.get(kind, (kind, kind))[count != 1]}"
        for kind, count in sorted(kinds.items())
    ]
    return " and ".join(filter(None, (", ".join(each[:-1]), each[-1])))


def unmatched(queue: str) -> Cause:
    """Events have come, and nobody looks who waits for them."""
    message = f"events wait to be matched, and no live worker serves the queue {queue}"
    return {"kind": "no-control", "message": message, "queue": queue}


def call(found: Call, home: Home | None = None) -> Cause:
    """A step in a worker's hands, or on its way there; `home` where no worker can take it."""
    kind, message = _claimed_call(found) if found.state == "claimed" else _unclaimed_call(found)
    cause: Cause = {
        "kind": kind,
        "message": message,
        "step": found.step,
        "reference": found.reference,
        "queue": found.queue,
        "since": found.claimed_at or found.published_at or found.created_at,
    }
    if found.worker:
        cause["worker"] = found.worker
    if home is not None:
        cause["app"] = home.app
        if not home.certain and (meant := nearest(found.task, home.known)) is not None:
            cause["message"] += f"{'' if kind == 'no-task' else f'; its task is {found.task}'}"
            cause["message"] += suggestion(meant)
            cause["meant"] = meant
    if kind == "silent-worker" and found.silent_at is not None:
        cause["until"] = found.silent_at
    return cause


def _claimed_call(found: Call) -> tuple[str, str]:
    if found.silent:
        message = f"the worker {found.worker} that runs {found.task} is silent"
        return "silent-worker", f"{message}: once a beat has seen that, the step counts as lost"
    if not found.in_flight:
        message = f"{found.worker} no longer has {found.task} in hand"
        return "lease", f"{message}: a beat declares it lost when its lease is over"
    message = f"{found.task} runs on {found.worker}"
    if found.withdrawn:
        return "withdrawn", f"{message}, withdrawn: its end is awaited"
    return "running", message


def _unclaimed_call(found: Call) -> tuple[str, str]:
    queue, task = found.queue, found.task
    if not found.serving:
        return "no-worker", f"no live worker serves the queue {queue}"
    if not found.knowing:
        return "no-task", f"no live worker of the queue {queue} knows {task}"
    if not found.able:
        return "no-processes", (
            f"{task} has a time limit, which only workers of processes can enforce, and every"
            f" live worker of the queue {queue} that knows it ({found.knowing}) runs threads"
        )
    if not found.free:
        return "no-slot", (
            f"the pool is too small: every slot ({found.slots}) of the {found.able} workers"
            f" of {queue} is taken, and {found.before} steps wait before {task}"
        )
    if found.published_at is None:
        return "unpublished", f"{task} is not yet at the broker"
    return "delivery", f"{task} was sent to the queue {queue} and not yet taken" + _refused_call(
        found
    )


def _refused_call(found: Call) -> str:
    """What becomes of a message whose queue is also served by workers without the task."""
    without = found.serving - found.knowing
    if not without:
        return ""
    lack, throw = ("lacks", "throws") if without == 1 else ("lack", "throw")
    return (
        f": {without} of its {found.serving} live workers {lack} the task, and {throw} away what"
        " comes their way; it is sent again for the others"
    )


def child(step: int, instance: str, status: str) -> Cause:
    """A sub-workflow is open."""
    message = f"waits for the sub-workflow {instance}, which is {status}"
    return {"kind": "workflow", "message": message, "step": step, "instance": instance}


def timer(waiting: Waiting) -> Cause:
    """A time is waited for."""
    return _until("timer", f"waits until {_time(waiting)} ({waiting.timer})", waiting)


def retry(waiting: Waiting, error: str | None) -> Cause:
    """A step failed and is tried again."""
    after = f" after: {error}" if error else ""
    return _until("retry", f"is tried again at {_time(waiting)}{after}", waiting)


def late(waiting: Waiting) -> Cause:
    """A timer is due, and nobody fires it."""
    message = f"was due at {_time(waiting)} ({waiting.timer}) and did not fire: no beat runs"
    return _until("no-beat", message, waiting)


def event(waiting: Waiting) -> Cause:
    """A listener waits."""
    filters = json_codec.loads(waiting.filters) if waiting.filters else []
    types = [(one.get("with") or {}).get("type") or "any type" for one in filters]
    wanted = f"{waiting.mode} of " if len(types) > 1 else ""
    return {
        "kind": "event",
        "message": f"waits for an event: {wanted}{', '.join(map(str, types)) or 'any'}",
        "step": waiting.step,
        "reference": waiting.reference,
        "since": waiting.since,
        "filters": filters,
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
