"""Timers armed by the thousand, and how exactly each of them fired."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from tests.support.stack import Stack


@dataclass(frozen=True)
class Report:
    """How timers fired; lateness in s, the latest last."""

    armed: int
    fired: int
    early: int
    double: int
    lateness: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median lateness, in s."""
        return statistics.median(self.lateness)

    def quantile(self, share: float) -> float:
        """The lateness that this share of the timers kept, in s."""
        return self.lateness[min(len(self.lateness) - 1, int(share * len(self.lateness)))]


def arm(stack: Stack, count: int, within: float, after: float = 1.0) -> None:
    """Arm so many timers, due evenly over `within` seconds that begin after `after`."""
    stack.sql(
        "create table if not exists public.expected"
        " (instance_id uuid primary key, due_at timestamptz);"
        " truncate public.expected;"
        " insert into public.expected"
        " select gen_random_uuid(), begin.at + %s::interval * (g.n / %s)"
        "  from generate_series(0, %s - 1) as g(n),"
        "  (select clock_timestamp() + %s * interval '1 s' as at) begin;"
        " insert into orchestrator.timers (instance_id, step, kind, due_at)"
        " select instance_id, 1, 'wait', due_at from public.expected;"
        " notify orchestrator_timers",
        f"{within} s",
        float(count),
        count,
        after,
    )


def fired(stack: Stack) -> int:
    """How many of the armed timers have fired so far."""
    return int(stack.sql("select count(*) from orchestrator.stimuli")[0][0])


def report(stack: Stack) -> Report:
    """How the armed timers fired; read when all of them have."""
    rows = stack.sql(
        "select extract(epoch from q.created_at - e.due_at)::float8, e.instance_id::text"
        " from public.expected e join orchestrator.stimuli q on q.instance_id = e.instance_id"
    )
    armed = int(stack.sql("select count(*) from public.expected")[0][0])
    late = sorted(row[0] for row in rows)
    distinct = len({row[1] for row in rows})
    return Report(
        armed, distinct, sum(each < 0 for each in late), len(rows) - distinct, tuple(late)
    )
