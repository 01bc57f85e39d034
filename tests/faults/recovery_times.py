"""How long lost attempts waited until they ran again, and whether that was within the limits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.faults.fault_stack import Ground

#: A loss is on record this long after the lease of the dead has run out, in s.
TELLING = 2.0
#: What was struck again runs again within the lease and this, in s: its hint or its message is
#: sent again after some seconds, and those may be lost once more.
TWICE = 20.0
#: No larger share of all losses may be set apart as struck again; of fewer losses than so many,
#: a share says nothing.
MOST_APART, SOME = 1 / 3, 10
#: A message goes to a process that has just died, too: its connection lives on for so long, in s.
LINGERS = 1.0
#: What is said of recoveries that were too slow, or took too long to be told.
P99, AGAIN, TOO_MANY = SLOW = (
    "recovery p99",
    "recovery of what was struck again",
    "too many are said to be struck again",
)


@dataclass(frozen=True)
class Loss:
    """An attempt of a killed process, and the one that followed; its times in s of one clock."""

    died: float
    #: When the loss was on record.
    told: float
    #: When the next attempt was claimed, and how often its message had been sent till then.
    claimed: float
    publish_count: int


@dataclass(frozen=True)
class Recoveries:
    """Seconds from a death until the step was claimed again: of those that were struck once, and
    of those whose next attempt, or the hint of whose loss, another death demonstrably took."""

    once: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    #: The slowest of those that were struck once comes last.
    losses: list[Loss] = field(default_factory=list, compare=False)
    #: By how much the beats' watchdogs were late at most, in s: their own looks, no worker's.
    watchdog: float = field(default=0.0, compare=False)


def recoveries(losses: Sequence[Loss], deaths: Collection[float], lease: float) -> Recoveries:
    """Sorted by whether something was lost again; each measured from its own death."""
    found = Recoveries()
    for loss in losses:
        took = max(0.0, loss.claimed - loss.died)
        again = _struck_again(loss, deaths, lease)
        (found.again if again else found.once).append(took)
        if not again:
            found.losses.append(loss)
    found.losses.sort(key=lambda loss: loss.claimed - loss.died)
    return found


def _struck_again(loss: Loss, deaths: Collection[float], lease: float) -> bool:
    """Another one died where it can have taken the hint or the message, and that was missing."""
    hint = loss.told > loss.died + lease + TELLING
    message = loss.publish_count > 1
    return (hint and any(loss.died < other <= loss.told for other in deaths)) or (
        message and any(loss.told - LINGERS < other <= loss.claimed for other in deaths)
    )


def of_killed(ground: Ground) -> Recoveries:
    """Return what the tables record about the steps whose process was killed."""
    rows = ground.sql(
        "select a.process, extract(epoch from a.ended_at)::float8,"
        " extract(epoch from b.claimed_at)::float8, b.publish_count"
        " from orchestrator.attempts a join orchestrator.attempts b"
        " on b.instance_id = a.instance_id and b.step = a.step and b.number = a.number + 1"
        " where a.state = 'lost' and b.claimed_at is not null and a.process = any(%s)",
        list(ground.killed),
    )
    losses = [Loss(ground.killed[pid], *others) for pid, *others in rows]
    found = recoveries(losses, set(ground.killed.values()), float(ground.stack.settings["lease"]))
    late = (
        one.get("delay_seconds", 0.0) + one.get("unwatched", 0.0)
        for one in ground.said("attempt_lost")
    )
    return replace(found, watchdog=max(late, default=0.0))


def measured(found: Recoveries) -> Mapping[str, Any]:
    """Where the time of the slowest recovery went; how many were struck again, their share, and
    the slowest of them."""
    return {**_parts(found), **_again(found)}


def _parts(found: Recoveries) -> Mapping[str, Any]:
    """Whether the watchdog was late (it looked late), what brings its word (the loss is on record
    late although it looked in time), or the workers (they claimed late)."""
    if not found.losses:
        return {}
    slowest = found.losses[-1]
    return {
        "slowest_till_recorded_s": round(slowest.told - slowest.died, 2),
        "slowest_till_claimed_s": round(slowest.claimed - slowest.told, 2),
        "watchdog_late_s": round(found.watchdog, 2),
    }


def _again(found: Recoveries) -> Mapping[str, Any]:
    if not found.again:
        return {}
    return {
        "struck_again": len(found.again),
        "struck_again_share": round(_share(found), 2),
        "then_recovered_s": round(max(found.again), 2),
    }


def problems(found: Recoveries, limit: float, lease: float) -> Mapping[str, Any]:
    """What was too slow: p99 of what was struck once is under the limit, whatever was struck
    again is under a wider one, and is the smaller part."""
    wrong: dict[str, Any] = {}
    p99 = percentile(found.once, 99)
    if not found.once:
        wrong["no step had to recover"] = 0
    elif p99 > limit:
        wrong[P99] = p99
    if max(found.again, default=0.0) > lease + TWICE:
        wrong[AGAIN] = round(max(found.again), 2)
    if len(found.once) + len(found.again) >= SOME and _share(found) > MOST_APART:
        wrong[TOO_MANY] = measured(found)
    return wrong


def _share(found: Recoveries) -> float:
    return len(found.again) / max(1, len(found.once) + len(found.again))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the percentile by the nearest rank; 0 without values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))], 2)
