"""``self.replace(chain(...))`` in a step: the canvas becomes an awaited sub-workflow.

Its members run side by side, on any worker, and survive the death of this one. The document is
deployed before the step's end is committed; the commit starts the sub-workflow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator import json_codec
from orchestrator.core.model import AttemptEnd, AttemptState
from orchestrator.execution.step import task_outcome
from orchestrator.log import get_logger

if TYPE_CHECKING:
    from orchestrator.canvas.document import Converted
    from orchestrator.execution.step.running_attempt import RunningAttempt

log = get_logger(__name__)


def end_of(
    replaced: RunningAttempt, deploy: Callable[[Converted], str], limit: int
) -> AttemptEnd | None:
    """Return the end of an attempt whose task has replaced itself by a chain, group or chord.

    `deploy` deploys its document and returns the version's id. `limit`: largest input of the
    sub-workflow, in bytes of JSON. None if the canvas has no durable form, or could hold secrets:
    it then runs in this process.
    """
    converted = None if replaced.secrets is not None else _converted(replaced)
    if converted is None:
        return None
    attempt, namespace = replaced.claimed.attempt.id, replaced.claimed.namespace
    try:
        input = replaced.values.encode(converted.input)
        size = len(json_codec.encode(input))
    except json_codec.NotJson as error:
        return task_outcome.unserializable_output(attempt, f"its replacement holds {error}")
    if size > limit:
        reason = f"its replacement has arguments of {size} bytes, the limit is {limit}"
        return task_outcome.unserializable_output(attempt, reason)
    replacement = {"workflow_id": deploy(converted), "namespace": namespace, "input": input}
    return AttemptEnd(attempt, AttemptState.SUCCEEDED, replacement=replacement)


def _converted(replaced: RunningAttempt) -> Converted | None:
    # Import the canvas modules at the first replacement of a task: most workers need none.
    from orchestrator.canvas.document import convert
    from orchestrator.canvas.errors import CanvasRefused
    from orchestrator.canvas.signatures import read

    values = "celery" if replaced.values.are_celerys else "json"
    try:
        shape = read(replaced.replacement)
        return convert(shape, namespace=replaced.claimed.namespace, values=values)
    except CanvasRefused as error:
        log.warning(
            "A replacement runs in this process: it has no durable form",
            action="replacement_not_durable",
            attempt=replaced.claimed.attempt.id,
            reason=str(error),
        )
        return None
