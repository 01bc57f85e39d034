"""What `crash_everywhere` found: effects that happened twice, and effects that were left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from orchestrator.testing.crash_points import CrashPoint
from orchestrator.testing.effects import Effect


@dataclass(frozen=True)
class Finding:
    """One thing that went wrong. `effect`: what happened; `step`: the task that did it; `deaths`:
    where workers had died in the run that shows it first (none: it needs no death); `others`: in
    how many further runs the same was seen."""

    effect: Effect
    step: str
    count: int
    status: str
    deaths: tuple[CrashPoint, ...]
    others: int = 0

    @property
    def when(self) -> str:
        """The deaths in words."""
        return " and ".join(map(str, self.deaths)) or "without a death"


@dataclass
class CrashReport:
    """The outcome of `crash_everywhere`.

    `twice`: effects that happened more than once. `left`: effects of an instance that did not
    complete, or of a step that did not, which nothing has undone. `told`: the same, but their
    compensation failed for good, so that a dead letter tells a person; no finding. `stuck`: the
    deaths after which an instance did not end. `runs`: how many were tried; `statuses`: how they
    ended.
    """

    workflow: str
    runs: int = 0
    deaths: int = 0
    twice: list[Finding] = field(default_factory=list)
    left: list[Finding] = field(default_factory=list)
    told: list[Finding] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not (self.twice or self.left or self.stuck)

    def __str__(self) -> str:
        ended = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        lines = [f"{self.workflow}: {self.runs} runs with {self.deaths} deaths ({ended})"]
        for one in self.twice:
            lines.append(f"  twice: {one.effect} of {one.step} happened {one.count} times:")
            lines.append(f"         {one.when}{_others(one)}")
        for one in self.left:
            lines.append(f"  left:  {one.effect} of {one.step}, and the run ended {one.status}:")
            lines.append(f"         {one.when}{_others(one)}")
        lines += [
            f"  (told: {one.effect} of {one.step} has a dead letter{_others(one)})"
            for one in self.told
        ]
        lines += [f"  stuck: {deaths}" for deaths in self.stuck]
        if self.ok:
            lines.append("  nothing happened twice, nothing was left")
        return "\n".join(lines)


def _others(one: Finding) -> str:
    return f" (and in {one.others} other runs)" if one.others else ""
