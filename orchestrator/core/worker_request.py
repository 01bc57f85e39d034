"""What calls and processes have in common: both are done by attempts of a worker."""

from __future__ import annotations

import json

from orchestrator.core import control_flow, dsl_errors, withdrawal
from orchestrator.core.attempts import retry_now
from orchestrator.core.data_flow import render
from orchestrator.core.draft_nodes import Node
from orchestrator.core.expression_template import Template
from orchestrator.core.model import ROOT, AttemptState, TimerKind
from orchestrator.core.task_kinds import StepFaulted, StimulusIgnored
from orchestrator.core.transition_draft import Draft

#: Most characters of a queue's name; the deploy check uses it too.
MAX_QUEUE = 255

#: Most characters of a wrong queue's name in an error.
MAX_SHOWN = 60

#: The Celery task that carries out every kind of call except `celery`.
CALL_TASK = "orchestrator.call"


def queue_of(draft: Draft, node: Node, template: Template | None) -> str | None:
    """Return the queue of a step's attempts. Raises an `expression` fault if it is no queue's
    name."""
    if template is None:
        return None
    queue = render(draft, node, template, node.input)
    if not isinstance(queue, str) or not 0 < len(queue) <= MAX_QUEUE or not queue.isprintable():
        raise dsl_errors.expression(
            f"the queue is {json.dumps(queue)[:MAX_SHOWN]},"
            f" not a printable text of 1 to {MAX_QUEUE} characters"
        )
    return queue


def idempotency_key(draft: Draft, node: Node) -> str | None:
    """Return the idempotency key of the work of a compensation: the same whenever the same step is
    undone, also after a person's retry. Other calls use their step's key."""
    compensating = control_flow.in_compensation(draft, node)
    if compensating is None:
        return None
    indices: list[str] = []
    at = node
    while at is not compensating and at.parent != ROOT:
        if at.index is not None:
            indices.append(str(at.index))
        at = draft.node(at.parent)
    return ":".join([f"{compensating.compensates}:{node.reference}", *reversed(indices)])


def on_expiry(draft: Draft, node: Node) -> None:
    """Fault a step that no worker has started in time (`metadata.expires`)."""
    attempt = withdrawal.open_steps(draft).attempts.get(node.id)
    if attempt is None or attempt.state is not AttemptState.READY or attempt.starts > 1:
        raise StimulusIgnored("the step was started in time")
    error = {
        **dsl_errors.timeout(f"no worker started {node.reference} in time"),
        "title": "Expired",
    }
    raise StepFaulted(node, error, running=True)


ON_TIMER = {TimerKind.RETRY: retry_now, TimerKind.EXPIRY: on_expiry}
