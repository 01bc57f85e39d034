"""`current_step()`: lets a task read its step and report progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator import json_codec
from orchestrator.execution.context_variables import current_attempt

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from orchestrator.execution.internal_protocols import CurrentAttempt
    from orchestrator.outbox import Effect


@dataclass(frozen=True, slots=True)
class CurrentStep:
    """The step that the running task performs.

    `instance`: the id of the workflow instance. `business_id`: the user's own id of it.
    `reference`: the JSON pointer of the task in the document. `attempt`: the number of this
    attempt of the step, from 1. `idempotency_key`: the same for every attempt of the step; pass
    it to services that must not do something twice. `deadline`: when the step's timeout ends it
    (UTC); None without a timeout.
    """

    instance: str
    business_id: str | None
    reference: str
    attempt: int
    idempotency_key: str
    deadline: datetime | None
    _attempt: CurrentAttempt = field(repr=False, compare=False)

    def heartbeat(self, progress: Any = None) -> bool:
        """Store the task's progress (any JSON value). Return whether its result still counts.

        After False the task should clean up and return: its step was withdrawn, or another
        worker has it. Tasks need not call this to keep their lease: the worker reports them.

        Raises:
            NotJson: `progress` cannot be written as JSON.
        """
        return self._attempt.show_progress(json_codec.dumps(json_codec.to_json(progress)))

    def once(self, connection: Any, name: str = "") -> AbstractContextManager[Effect]:
        """Make an effect in your own database exactly once, however often the step runs:

            with current_step().once(connection) as effect:
                if effect.is_first:
                    cursor.execute("update accounts ...")
                    effect.result = {"balance": balance}
            connection.commit()
            return effect.result

        `connection`: the one on which you make the effect; see `orchestrator.outbox.once` for
        its kinds and for what is raised. `name`: tells several effects of one step apart.
        """
        from orchestrator.outbox import once

        return once(connection, f"{self.idempotency_key}/{name}" if name else self.idempotency_key)


def current_step() -> CurrentStep | None:
    """Return the step that the running task performs; None outside a workflow."""
    running = current_attempt.get()
    if running is None:
        return None
    claimed = running.claimed
    return CurrentStep(
        instance=claimed.instance_id,
        business_id=claimed.business_id,
        reference=claimed.step.reference,
        attempt=claimed.attempt.number,
        idempotency_key=claimed.key,
        deadline=claimed.deadline,
        _attempt=running,
    )
