"""What a task can ask about the step that it carries out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator import json_codec
from orchestrator.execution.context_variables import current_attempt

if TYPE_CHECKING:
    from orchestrator.execution.internal_protocols import CurrentAttempt


@dataclass(frozen=True, slots=True)
class CurrentStep:
    """The step that the running task carries out.

    `instance` is the workflow instance's id, `business_id` its users' own, `reference` the
    JSON pointer of the task in the document, `attempt` counts the attempts of this step from
    1. `idempotency_key` is the same for every attempt of the step: hand it to whoever must
    not do a thing twice. `deadline` (UTC) is when the step's timeout ends it, if it has one.
    """

    instance: str
    business_id: str | None
    reference: str
    attempt: int
    idempotency_key: str
    deadline: datetime | None
    _attempt: CurrentAttempt = field(repr=False, compare=False)

    def heartbeat(self, progress: Any = None) -> bool:
        """Show how far the task has come (any JSON). False: nobody wants its result any more.

        A task that gets False should clean up and return: its step was withdrawn, or handed
        to another worker. Not needed to stay alive: the worker itself reports its tasks.

        Raises:
            NotJson: `progress` cannot be written as JSON.
        """
        return self._attempt.show_progress(json_codec.dumps(json_codec.to_json(progress)))


def current_step() -> CurrentStep | None:
    """The step that the running task carries out; None outside a workflow."""
    hold = current_attempt.get()
    if hold is None:
        return None
    work = hold.work
    return CurrentStep(
        instance=work.instance_id,
        business_id=work.business_id,
        reference=work.step.ref,
        attempt=work.attempt.number,
        idempotency_key=work.key,
        deadline=work.deadline,
        _attempt=hold,
    )
