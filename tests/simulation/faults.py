"""The faults that strike a schedule, and the table of where each can strike.

A fault is drawn with the action that it follows and, in half of the cases, with the state that it
waits for, so that rare states are struck, too. Every reached pair (fault, state) is counted;
`TABLE` contains all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from orchestrator.errors import DatabaseUnavailable
from tests.simulation.simulated_clock import Killed, Loop, Process

if TYPE_CHECKING:
    from tests.simulation.schedule import Simulation

Pair = tuple[str, str]

#: What can happen to a statement, or to whoever sends it.
AT_STATEMENTS = (
    "refused",
    "reply lost",
    "killed before",
    "killed after",
    "stopped before",
    "stopped after",
)
STATEMENTS: dict[str, tuple[str, ...]] = {
    "child": (
        *("claim", "save", "lock", "load", "locked save", "commit", "read inbox"),
        *("forget", "end", "ended with", "claimed with", "put", "top up", "announce"),
    ),
    "main": ("register", "heartbeat", "held by", "put"),
    "beat": ("timers", "claimed", "put", "lost messages", "overdue", "next due"),
    "api": ("start", "put", "lock", "read commands", "load", "decided save", "commit"),
}

#: What can happen to a message, or to whoever sends it.
AT_MESSAGES = (
    "not taken",
    "lost",
    "doubled",
    "delayed",
    "killed before",
    "killed after",
    "stopped",
)
MESSAGES: dict[str, tuple[str, ...]] = {
    "child": ("publish", "hint"),
    "main": ("hint",),
    "beat": ("publish", "hint"),
    "api": ("hint",),
}

#: What can happen to whoever runs a task.
AT_TASKS = ("killed", "stopped", "exits")

#: What can happen to everything at once, and to instances in what state.
AT_ONCE = (
    "flush",
    "shuffle",
    "replay",
    "forgery",
    "outage",
    "broker away",
    "worker killed",
    "worker stopped",
    "beat killed",
    "api killed",
    "clock stepped",
    "clock stopped",
)
CONDITIONS = ("pending", "running", "waiting", "suspended", "compensating", "ended")

TABLE: frozenset[Pair] = frozenset(
    [
        *(
            (fault, f"{kind}: {label}")
            for kind, labels in STATEMENTS.items()
            for label in labels
            for fault in AT_STATEMENTS
        ),
        *(
            (fault, f"{kind}: {label}")
            for kind, labels in MESSAGES.items()
            for label in labels
            for fault in AT_MESSAGES
        ),
        *((fault, "child: run") for fault in AT_TASKS),
        *((fault, condition) for fault in AT_ONCE for condition in CONDITIONS),
    ]
)
_PAIRS = sorted(TABLE)

#: States that only another fault leads to.
_LEADS_TO: dict[str, Pair] = {
    "child: ended with": ("reply lost", "child: save"),
    "child: claimed with": ("reply lost", "child: save"),
    "child: put": ("stopped after", "child: lock"),
}
_KINDS = {
    **dict.fromkeys(AT_STATEMENTS, 6),
    **dict.fromkeys(AT_MESSAGES, 4),
    **dict.fromkeys(AT_TASKS, 3),
    **dict.fromkeys(AT_ONCE, 2),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`after` so many actions; `state` None: wherever it first can."""

    kind: str
    state: str | None
    after: int


def draw(random: Random, most: int) -> list[Fault]:
    """The faults of one schedule."""
    kinds, weights = list(_KINDS), list(_KINDS.values())
    faults = []
    for _ in range(random.randint(4, most)):
        state = None
        if random.random() < 0.5:
            kind, state = random.choice(_PAIRS)
        else:
            kind = random.choices(kinds, weights)[0]
        if state in _LEADS_TO:
            faults.append(Fault(*_LEADS_TO[state], random.randint(0, 20)))
        faults.append(Fault(kind, state, random.randint(0, 40)))
    return sorted(faults, key=lambda fault: fault.after)


class Faults:
    """Strikes at the drawn actions and states."""

    def __init__(self, random: Random, loop: Loop, planned: list[Fault]) -> None:
        self.random = random
        self.loop = loop
        self.planned = planned
        #: Those whose time has come, waiting for their state.
        self.armed: list[Fault] = []
        self.struck: list[Pair] = []
        self.simulation: Simulation

    @property
    def next_at(self) -> int | None:
        """The action after which something is due."""
        return self.planned[0].after if self.planned else None

    def arm(self) -> None:
        """Whatever is due may strike from now on, or strikes at once."""
        while self.planned and self.planned[0].after <= self.loop.actions:
            fault = self.planned.pop(0)
            self.armed.append(fault)
        self.at_once()

    def end(self) -> None:
        """End all faults."""
        self.planned.clear()
        self.armed.clear()

    def _take(self, kinds: tuple[str, ...], state: str) -> str | None:
        for fault in self.armed:
            wanted = fault.state
            if (wanted is None or wanted == state) and fault.kind in kinds:
                self.armed.remove(fault)
                self.struck.append((fault.kind, state))
                self.loop.actions += 1
                return fault.kind
        return None

    # -- at statements -----------------------------------------------------------------------

    def at_statement(self, label: str) -> Callable[[], None] | None:
        """Strike before a statement; what is returned strikes after it."""
        assert self.loop.current is not None
        process = self.loop.current.process
        kind = self._take(AT_STATEMENTS, f"{process.kind}: {label}")
        if kind is None:
            return None
        if kind == "refused":
            raise DatabaseUnavailable("the connection was refused")
        if kind == "reply lost":
            return self._lose_reply
        if kind == "killed after":
            return lambda: self._kill(process)
        if kind == "stopped after":
            return lambda: self._stop(process, label)
        if kind == "killed before":
            self._kill(process)
        elif kind == "stopped before":
            self._stop(process, label)
        return None

    def _lose_reply(self) -> None:
        raise DatabaseUnavailable("the connection broke before the reply")

    def _kill(self, process: Process) -> None:
        self.loop.kill(process)
        raise Killed

    def _stop(self, process: Process, label: str) -> None:
        """For up to three leases; half of the time with the whole worker."""
        seconds = self.simulation.lease * self.random.choice([0.5, 1.5, 3.0])
        together = self.simulation.group_of(process) if self.random.random() < 0.5 else [process]
        for one in together:
            self.loop.stop(one, seconds)
        if process.stopped:
            self.loop.reach(label)

    # -- at messages -------------------------------------------------------------------------

    def at_message(self, label: str) -> str | None:
        """Strike before a message is taken; the kinds that concern the message are returned,
        and "killed after"."""
        assert self.loop.current is not None
        process = self.loop.current.process
        kind = self._take(AT_MESSAGES, f"{process.kind}: {label}")
        if kind == "killed before":
            self._kill(process)
        elif kind == "stopped":
            self._stop(process, label)
            return None
        return kind

    # -- at tasks ----------------------------------------------------------------------------

    def at_task(self) -> None:
        """Strike whoever runs a task."""
        assert self.loop.current is not None
        process = self.loop.current.process
        kind = self._take(AT_TASKS, "child: run")
        if kind in ("killed", "exits"):
            self._kill(process)
        elif kind == "stopped":
            self._stop(process, "run")

    # -- at once -----------------------------------------------------------------------------

    def at_once(self) -> None:
        for fault in [fault for fault in self.armed if fault.kind in AT_ONCE]:
            conditions = self.simulation.conditions()
            if fault.state is not None and fault.state not in conditions:
                continue
            if self.simulation.strike(fault.kind):
                self.armed.remove(fault)
                self.loop.actions += 1
                self.struck += [(fault.kind, one) for one in sorted(conditions)]
