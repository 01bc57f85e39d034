"""How many hints are sent again: many where they help, few where workers are behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from orchestrator.database.stimuli import Late
from orchestrator.scheduler.reminding import LEAST, MOST, Reminder
from orchestrator.scheduler.upkeep import Upkeep


class Inboxes:
    """So many notes wait, one of each instance; hints are `lost`, or workers are behind."""

    def __init__(self, notes: int, *, lost: bool) -> None:
        self.notes = dict.fromkeys(range(notes))
        self.lost = lost
        self.hints: list[int] = []

    def overdue(self, _: float, limit: int) -> Sequence[Late]:
        newest = sorted(self.notes, reverse=True)[:limit]
        return [Late(note, str(note)) for note in newest]

    def waiting(self, notes: Sequence[int]) -> int:
        return len(self.notes.keys() & set(notes))

    def hint(self, *instances: str) -> None:
        self.hints.append(len(instances))
        for instance in instances if self.lost else ():
            del self.notes[int(instance)]


def reminder(inboxes: Inboxes) -> Reminder:
    return Reminder(cast("Upkeep", inboxes), cast("Any", inboxes.hint))


def test_where_hints_are_lost_ever_more_are_sent():
    inboxes = Inboxes(3000, lost=True)
    one = reminder(inboxes)
    for _ in range(12):
        one.remind()
    assert inboxes.hints[:8] == [10, 20, 40, 80, 160, 320, MOST, MOST]
    assert not inboxes.notes
    inboxes.notes = dict.fromkeys(range(100))
    one.remind()
    assert inboxes.hints[-1] == LEAST


def test_where_workers_are_behind_few_are_sent():
    inboxes = Inboxes(10_000, lost=True)
    one = reminder(inboxes)
    for _ in range(5):
        one.remind()
    inboxes.lost = False
    for _ in range(10):
        one.remind()
    assert inboxes.hints == [10, 20, 40, 80, 160, 320, 160, 80, 40, 20, *[LEAST] * 5]
