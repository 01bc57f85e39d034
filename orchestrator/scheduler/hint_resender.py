"""Sends hints again for stimuli in inboxes that nobody brought: as many as seem to help.

A stimulus waits because its hint is lost, or because its hint stands in a queue behind others;
its age doesn't tell which. In the second case more hints only put the workers further behind,
each wave of them the next transitions too. So a few are sent first. When most of their stimuli are
brought before the next look, hints had been lost, and twice as many follow; else half as many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.scheduler.maintenance_store import MaintenanceStore

#: A stimulus that has waited this long has lost its bringer or its hint, or waits in line, in s.
OVERDUE = 4.0
#: Hints of one look, at least and at most.
MIN_BATCH, MAX_BATCH = 10, 640


class HintResender:
    """What one beat has found out about hints."""

    def __init__(self, upkeep: MaintenanceStore, hint: Callable[..., None]) -> None:
        self._upkeep = upkeep
        self._hint = hint
        self._batch_size = MIN_BATCH
        self._sampled: Sequence[int] = ()

    def resend(self) -> None:
        """Send hints for some of the stimuli that are overdue; call it once in a while."""
        self._batch_size = self._next()
        found = self._upkeep.overdue_stimuli(OVERDUE, self._batch_size)
        # Those that came last stand last in the queue, if there is one.
        self._sampled = [note.id for note in found[: (len(found) + 1) // 2]]
        self._hint(*dict.fromkeys(note.instance for note in found))

    def _next(self) -> int:
        if not self._sampled:
            return MIN_BATCH
        if 2 * self._upkeep.count_pending(self._sampled) <= len(self._sampled):
            return min(MAX_BATCH, 2 * self._batch_size)
        return max(MIN_BATCH, self._batch_size // 2)
