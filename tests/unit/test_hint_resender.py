"""How many hints are sent again: many where they help, few where workers are behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from orchestrator.database.transitions.inbox_queries import OverdueStimulus
from orchestrator.scheduler.hint_resender import MAX_BATCH, MIN_BATCH, HintResender
from orchestrator.scheduler.maintenance_store import MaintenanceStore


class Inboxes:
    """So many notes wait, one of each instance; hints are `lost`, or workers are behind."""

    def __init__(self, notes: int, *, lost: bool) -> None:
        self.notes = dict.fromkeys(range(notes))
        self.lost = lost
        self.hints: list[int] = []

    def overdue_stimuli(self, _: float, limit: int) -> Sequence[OverdueStimulus]:
        newest = sorted(self.notes, reverse=True)[:limit]
        return [OverdueStimulus(note, str(note)) for note in newest]

    def count_pending(self, notes: Sequence[int]) -> int:
        return len(self.notes.keys() & set(notes))

    def hint(self, *instances: str) -> None:
        self.hints.append(len(instances))
        for instance in instances if self.lost else ():
            del self.notes[int(instance)]


def reminder(inboxes: Inboxes) -> HintResender:
    return HintResender(cast("MaintenanceStore", inboxes), cast("Any", inboxes.hint))


def test_where_hints_are_lost_ever_more_are_sent():
    inboxes = Inboxes(3000, lost=True)
    one = reminder(inboxes)
    for _ in range(12):
        one.resend()
    assert inboxes.hints[:8] == [10, 20, 40, 80, 160, 320, MAX_BATCH, MAX_BATCH]
    assert not inboxes.notes
    inboxes.notes = dict.fromkeys(range(100))
    one.resend()
    assert inboxes.hints[-1] == MIN_BATCH


def test_where_workers_are_behind_few_are_sent():
    inboxes = Inboxes(10_000, lost=True)
    one = reminder(inboxes)
    for _ in range(5):
        one.resend()
    inboxes.lost = False
    for _ in range(10):
        one.resend()
    assert inboxes.hints == [10, 20, 40, 80, 160, 320, 160, 80, 40, 20, *[MIN_BATCH] * 5]
