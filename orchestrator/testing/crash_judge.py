"""Judges the ledger of one run: what happened twice, and what was left undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.core.model import Status
from orchestrator.testing.crash_points import CrashPoint, Site
from orchestrator.testing.crash_report import Finding
from orchestrator.testing.effects import Effect, Ledger
from orchestrator.testing.in_memory_rows import Rows, chain

#: An effect at a place: the workflow, the task, its iterations, the effect's name and details.
Place = tuple[str, str, tuple[int, ...], str, str]


@dataclass
class Usual:
    """How many of the same effects stood at once where no worker died: in one step of a place, and
    in all of them. An effect stands until it is undone."""

    in_step: dict[Place, int] = field(default_factory=dict)
    at_place: dict[Place, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Judge:
    """Judges one run. `deaths`: where workers died in it. `usual`: of the run without a death."""

    ledger: Ledger
    rows: Mapping[str, Rows]
    sites: Mapping[tuple[str, int], Site]
    deaths: tuple[CrashPoint, ...] = ()
    usual: Usual = field(default_factory=Usual)

    def counted(self) -> Usual:
        """Return how many of the same effects stood at once."""
        counted = Usual()
        for one, in_step, at_place in self._standing():
            place = self._place(one)
            counted.in_step[place] = max(in_step, counted.in_step.get(place, 0))
            counted.at_place[place] = max(at_place, counted.at_place.get(place, 0))
        return counted

    def twice(self) -> Iterator[Finding]:
        """Yield effects of which more stood at once than one attempt has, or than is usual."""
        per_attempt = self._most_per_attempt()
        for one, in_step, at_place in self._standing():
            place = self._place(one)
            step_limit = max(per_attempt[place], self.usual.in_step.get(place, 0))
            place_limit = max(per_attempt[place], self.usual.at_place.get(place, 0))
            if in_step > step_limit:
                yield self._finding(one, in_step)
            elif self.deaths and at_place > place_limit:
                yield self._finding(one, at_place)

    def _most_per_attempt(self) -> Counter[Place]:
        most: Counter[Place] = Counter()
        counted = Counter((self._place(one), one.attempt) for one in self.ledger.happened())
        for (place, _), count in counted.items():
            most[place] = max(most[place], count)
        return most

    def _standing(self) -> Iterator[tuple[Effect, int, int]]:
        """Yield each effect with the number of the same that stand with it: of its step, and of
        its place. What a dead letter tells of is a person's already."""
        standing: dict[str, Effect] = {}
        for one in self.ledger.happened():
            for id in one.undoes:
                standing.pop(id, None)
            if not self._is_told(one):
                standing[one.id] = one
            same = [each for each in standing.values() if self._place(each) == self._place(one)]
            yield one, sum(self._step(each) == self._step(one) for each in same), len(same)

    def left(self) -> Iterator[Finding]:
        """Yield effects that stand although their step, or the whole, has not completed."""
        return (self._finding(one, 1) for one in self._standing_at_end() if not self._is_told(one))

    def told(self) -> Iterator[Finding]:
        """Yield those whose compensation failed for good: a dead letter tells a person."""
        return (self._finding(one, 1) for one in self._standing_at_end() if self._is_told(one))

    def _standing_at_end(self) -> Iterator[Effect]:
        for one in self.ledger.live():
            if not one.undoable or self._site(one).undoes:
                continue
            rows = self.rows[one.instance]
            step = rows.steps.get(one.step)
            done = step is None or step.status is Status.COMPLETED
            if not (done and self._root(rows).instance.status is Status.COMPLETED):
                yield one

    def _is_told(self, one: Effect) -> bool:
        rows = self.rows[one.instance]
        undone = {letter.get("undoes") for letter in rows.dead_letters}
        return not undone.isdisjoint(chain(rows, one.step))

    # -- what an effect belongs to ---------------------------------------------------------------

    def _root(self, rows: Rows) -> Rows:
        while rows.instance.parent_instance is not None:
            rows = self.rows[rows.instance.parent_instance]
        return rows

    @staticmethod
    def _step(one: Effect) -> tuple[str, int]:
        return one.instance, one.step

    def _site(self, one: Effect) -> Site:
        return self.sites[self._step(one)]

    def _place(self, one: Effect) -> Place:
        site = self._site(one)
        return (site.workflow, site.reference, site.iterations, *one.identity)

    def _finding(self, one: Effect, count: int) -> Finding:
        status = self._root(self.rows[one.instance]).instance.status.value
        return Finding(one, self._site(one).name, count, status, self.deaths)
