"""Where the time of an instance went: pure, from the recorded times of its steps and attempts.

Every moment has one kind, so that the parts of a step sum to the step's time, and those of the
instance to the instance's. Of several kinds at a moment the first of `KINDS` counts: while one of
ten branches runs, the instance runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

#: The kinds. `queued`: an attempt waits for a worker. `backoff`: a pause before the next attempt.
#: `waiting`: for a time, an event or a sub-workflow. `between`: no step was open, or no attempt.
KINDS = ("suspended", "running", "queued", "backoff", "waiting", "between")

#: Tasks that consist of others: their time is that of their steps.
_COMPOSITE = frozenset({"do", "for", "fork", "try"})
#: Tasks whose steps wait without attempts.
_WAITING = frozenset({"wait", "listen", "run", "child_compensation"})

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class TimedAttempt:
    """When an attempt was made, claimed and ended; None: not yet."""

    created_at: datetime
    claimed_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class TimedStep:
    """A step that has begun. `ended_at` None: it is open."""

    id: int
    parent: int
    kind: str
    started_at: datetime
    ended_at: datetime | None
    attempts: Sequence[TimedAttempt] = ()


@dataclass(frozen=True, slots=True)
class StepTime:
    """The time of a step, by kind. It is never part of another step's time of this account."""

    step: int
    total: timedelta
    parts: Mapping[str, timedelta]


@dataclass(frozen=True, slots=True)
class PathPiece:
    """A piece of the critical path: from `since` to `until` the instance waited for this step."""

    step: int
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class TimeAccount:
    """The time of an instance by kind, of its steps, and the critical path in the order of time."""

    total: timedelta
    parts: Mapping[str, timedelta]
    steps: Sequence[StepTime]
    path: Sequence[PathPiece]


def time_account(span: Span, steps: Iterable[TimedStep], suspended: Sequence[Span]) -> TimeAccount:
    """Return the account of an instance over its time, until now if it is open.

    `suspended`: when it was. Times outside `span` do not count. An instance with several runs was
    between them, too.
    """
    found = list(steps)
    parents = {each.parent for each in found}
    leaves = [each for each in found if each.id not in parents and each.kind not in _COMPOSITE]
    clipped = {each.id: _clip((each.started_at, each.ended_at or span[1]), span) for each in leaves}
    layers = {each.id: _layers(each, clipped[each.id]) for each in leaves}
    of_all = [piece for each in layers.values() for piece in each]
    paused = [("suspended", each) for each in suspended]
    return TimeAccount(
        span[1] - span[0],
        _parts(span, [*paused, *of_all]),
        [
            StepTime(id, of[1] - of[0], _parts(of, [*paused, *layers[id]]))
            for id, of in clipped.items()
        ],
        _critical_path(span, clipped),
    )


def _layers(step: TimedStep, span: Span) -> list[tuple[str, Span]]:
    """Return the kinds of a step's time, with when each was. They may overlap."""
    layers: list[tuple[str, Span]] = []
    for each in step.attempts:
        ended = each.ended_at or span[1]
        claimed = each.claimed_at or ended
        layers += [("queued", (each.created_at, claimed)), ("running", (claimed, ended))]
    if step.attempts:
        layers.append(("backoff", (step.attempts[0].created_at, span[1])))
    elif step.kind in _WAITING:
        layers.append(("waiting", span))
    return [(kind, _clip(each, span)) for kind, each in layers]


def _clip(span: Span, within: Span) -> Span:
    since = min(max(span[0], within[0]), within[1])
    return since, min(max(span[1], since), within[1])


def _parts(span: Span, layers: Iterable[tuple[str, Span]]) -> dict[str, timedelta]:
    """Return the time of each kind within a span: at each moment the first of `KINDS` that is
    there."""
    changes: dict[datetime, Counter[str]] = {span[0]: Counter(), span[1]: Counter()}
    for kind, layer in layers:
        since, until = _clip(layer, span)
        if since < until:
            changes.setdefault(since, Counter())[kind] += 1
            changes.setdefault(until, Counter())[kind] -= 1
    parts = dict.fromkeys(KINDS, timedelta())
    times = sorted(changes)
    there: Counter[str] = Counter()
    for since, until in pairwise(times):
        there.update(changes[since])
        kind = next((each for each in KINDS if there[each] > 0), "between")
        parts[kind] += until - since
    return parts


def _critical_path(span: Span, steps: Mapping[int, Span]) -> list[PathPiece]:
    """Return the steps that the instance waited for, found from its end backwards: each time the
    step that ended last before the piece that follows, and had begun before that."""
    path: list[PathPiece] = []
    until = span[1]
    for id, (since, ended) in sorted(steps.items(), key=lambda one: (one[1][1], one[0]))[::-1]:
        if ended <= until and since < ended:
            path.append(PathPiece(id, since, ended))
            until = since
    return path[::-1]
