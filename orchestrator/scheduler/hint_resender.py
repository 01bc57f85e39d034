"""Sends hints again for stimuli that wait too long in inboxes, in batches of adaptive size.

A stimulus waits because its hint was lost, or because its hint is still behind others in a queue;
its age does not tell which. In the second case more hints only delay the workers further. So the
first batch is small. If most of its stimuli are applied before the next run, hints had been lost,
and the batch size doubles; otherwise it is halved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.scheduler.maintenance_store import MaintenanceStore

#: Age of an overdue stimulus, in seconds: its process died, its hint was lost, or workers are
#: behind.
OVERDUE = 4.0
#: Smallest and largest number of hints of one run.
MIN_BATCH, MAX_BATCH = 10, 640


class HintResender:
    """Resends hints for one beat, and remembers whether the last batch helped."""

    def __init__(self, store: MaintenanceStore, hint: Callable[..., None]) -> None:
        self._store = store
        self._hint = hint
        self._batch_size = MIN_BATCH
        self._sampled: Sequence[int] = ()

    def resend(self) -> None:
        """Send hints for a batch of overdue stimuli. Call it about every `OVERDUE` / 4 seconds."""
        self._batch_size = self._next_batch_size()
        overdue = self._store.overdue_stimuli(OVERDUE, self._batch_size)
        # Remember the newer half for the next run. Workers take hints in the order of sending: if
        # the newer half is applied by then, the workers are not behind, and hints had been lost.
        self._sampled = [stimulus.id for stimulus in overdue[: (len(overdue) + 1) // 2]]
        self._hint(*dict.fromkeys(stimulus.instance for stimulus in overdue))

    def _next_batch_size(self) -> int:
        if not self._sampled:
            return MIN_BATCH
        if 2 * self._store.count_pending(self._sampled) <= len(self._sampled):
            return min(MAX_BATCH, 2 * self._batch_size)
        return max(MIN_BATCH, self._batch_size // 2)
