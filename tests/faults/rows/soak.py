"""Everything at once, for long; and what it does to the memory of those who live through it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from tests.faults.documents import MIXED, TIMERS
from tests.faults.fault_stack import Ground
from tests.faults.rows import brokers, databases, processes
from tests.faults.rows.row import Row

if TYPE_CHECKING:
    from tests.faults.fault_run import Outcome

#: What a worker, or the API, may gain in 10,000 steps, in bytes.
SLOPE = 5 << 20
#: Fewer steps tell nothing about a slope: each process warms up for about as many.
LEAST = 10_000
#: The soak takes so long, in s.
SOAK = 600.0
#: Seconds between two looks.
EVERY = 2.0


class Scales:
    """Weighs two processes again and again, while others die: a worker and the API."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.seen: dict[str, list[tuple[int, int]]] = {"worker": [], "api": []}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(EVERY):
            ((steps,),) = self.ground.sql(
                "select count(*) from orchestrator.attempts where state = 'succeeded'"
            )
            for name, process in (("worker", self.ground.spared), ("api", self.ground.api)):
                weight = self.ground.memory_of(process)
                if weight:
                    self.seen[name].append((int(steps), weight))

    @property
    def steps(self) -> int:
        """How many had been done when each of the two was weighed last."""
        return min(steps_of(seen) for seen in self.seen.values())

    def stop(self) -> None:
        self._end.set()
        self._thread.join(60)


def weigh(ground: Ground) -> None:
    """From the first workflow on; one worker is spared from now on."""
    ground.spare()
    ground.notes["scales"] = Scales(ground)


def calm(ground: Ground, _: Random) -> None:
    """No fault at all: the memory of what works undisturbed."""


def anything(ground: Ground, random: Random) -> int | None:
    """Any fault of the matrix that leaves the API and one worker alive."""
    strikes: Sequence[Any] = (
        *[processes.child] * 6,
        *[brokers.flush] * 2,
        *[brokers.tenfold] * 4,
        *[brokers.poison] * 4,
        *[processes.main, processes.beat, processes.terminate] * 2,
        databases.crash,
        brokers.restart,
    )
    struck: int | None = random.choice(strikes)(ground, random)
    return struck


def weighed(ground: Ground) -> bool:
    """Whether there were as many steps as a slope needs."""
    scales: Scales = ground.notes["scales"]
    return scales.steps >= LEAST


def slopes(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """What the memory of the two has done."""
    scales: Scales = ground.notes["scales"]
    scales.stop()
    measured, problems = judge(scales.seen)
    outcome.measured |= measured
    return problems


#: (steps done till then, bytes), one after the other.
Weights = Sequence[tuple[int, int]]


def judge(weights: Mapping[str, Weights]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was measured, and what is wrong: bytes gained in 10,000 steps, by the least squares,
    after a warm-up of a third; and too few steps to tell."""
    measured: dict[str, Any] = {}
    problems: dict[str, Any] = {}
    for name, seen in weights.items():
        steps = steps_of(seen)
        slope = fit([one for one in seen if one[0] >= steps / 3]) * 10_000
        measured |= {"steps": steps, f"{name}_mb_a_10000": round(slope / 2**20, 2)}
        if steps < LEAST:
            problems[f"too few steps to judge the {name}"] = f"{steps} of {LEAST}"
        elif slope > SLOPE:
            problems[f"the {name} grows"] = seen[:: max(1, len(seen) // 20)]
    return measured, problems


def steps_of(seen: Weights) -> int:
    """How many steps had been done at the last look."""
    return seen[-1][0] if seen else 0


def fit(points: Sequence[tuple[int, int]]) -> float:
    """The slope of the line that is nearest to the points; 0 of fewer than two."""
    count = len(points)
    if count < 2:
        return 0.0
    x = sum(point[0] for point in points) / count
    y = sum(point[1] for point in points) / count
    spread = sum((point[0] - x) ** 2 for point in points)
    return sum((a - x) * (b - y) for a, b in points) / spread if spread else 0.0


ROWS = (
    Row(
        "none: memory of a worker and of the API",
        calm,
        10_000,
        10,
        (1.0, 1.0),
        prepare=weigh,
        judge=slopes,
        enough=weighed,
        weight=2,
    ),
    Row(
        "soak: all of it at once",
        anything,
        30_000,
        600,
        (0.5, 1.5),
        {"workers": 3, "beats": 2},
        load=(*MIXED, *TIMERS),
        prepare=weigh,
        judge=slopes,
        enough=weighed,
        whole=SOAK,
        paced=True,
    ),
)
