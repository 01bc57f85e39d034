"""Why a call has not ended: where its attempt is, or which worker is missing."""

from __future__ import annotations

from api.resources.wait_reason_messages import Cause
from orchestrator.database.instances.call_wait_queries import Call, Home
from orchestrator.document.message_text import nearest_word, suggestion


def call(found: Call, home: Home | None = None) -> Cause:
    """Return the state of a call. `home`: the app of its task, if no worker can run it."""
    kind, message = _claimed(found) if found.state == "claimed" else _unclaimed(found)
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
        if not home.certain and (meant := nearest_word(found.task, home.known)) is not None:
            cause["message"] += f"{'' if kind == 'no-task' else f'; its task is {found.task}'}"
            cause["message"] += suggestion(meant)
            cause["meant"] = meant
    if kind == "silent-worker" and found.silent_at is not None:
        cause["until"] = found.silent_at
    return cause


def _claimed(found: Call) -> tuple[str, str]:
    if found.silent:
        message = f"the worker {found.worker} that runs {found.task} is silent"
        return "silent-worker", f"{message}: a beat will report its attempt as lost"
    if not found.in_flight:
        message = f"{found.worker} no longer runs {found.task}"
        return "lease", f"{message}: a beat reports the attempt as lost when its lease expires"
    message = f"{found.task} runs on {found.worker}"
    if found.withdrawn:
        return "withdrawn", f"{message}, withdrawn: the instance waits for its end"
    return "running", message


def _unclaimed(found: Call) -> tuple[str, str]:
    queue, task = found.queue, found.task
    if not found.serving:
        message = f"no live worker serves the queue {queue}"
        if found.refusal:
            message += f": the broker refuses its companion to a worker of it: {found.refusal}"
        return "no-worker", message + _other_queues(found)
    if not found.knowing:
        message = f"no live worker of the queue {queue} knows {task}"
        return "no-task", message + _other_queues(found)
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
    return (
        "delivery",
        f"{task} was sent to the queue {queue} and not yet taken" + _refusing_workers(found),
    )


def _other_queues(found: Call) -> str:
    """Return where live workers have the task: another queue may have been meant."""
    if not found.elsewhere:
        return ""
    return f"; workers that have {found.task} serve {', '.join(found.elsewhere)}"


def _refusing_workers(found: Call) -> str:
    """Return what happens to the message at workers of its queue that lack the task."""
    without = found.serving - found.knowing
    if not without:
        return ""
    lack, drop = ("lacks", "drops") if without == 1 else ("lack", "drop")
    return (
        f": {without} of its {found.serving} live workers {lack} the task and {drop} its messages;"
        " they are sent again for the others"
    )
