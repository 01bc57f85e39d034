"""Decides which actor acts next, and what time it is: one thread, one seeded generator, one clock.

The clock moves only when no actor can act; then it jumps to the next awaited time.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet


class Killed(GreenletExit):
    """Raised inside the actors of a process that has been killed."""


class Process:
    """What is killed, stopped and continued as one: its actors and its open transactions."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.alive = True
        self.stopped = False
        self.actors: list[Actor] = []
        self.frozen: list[Actor] = []
        self.transactions: list[Any] = []
        self.on_death: Callable[[], None] | None = None


class Actor(greenlet):
    """One line of execution in a process. `label` is what it is about to do."""

    def __init__(self, process: Process, label: str, run: Callable[[], Any]) -> None:
        super().__init__(run)
        self.process = process
        self.label = label
        #: Grows whenever it is woken, so that an older alarm means nothing.
        self.ticket = 0


Place = tuple[Actor, int]
"""Somebody who waits, and for the how manieth time."""


class Loop:
    """The actors that can go on, and the alarms of those that wait."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now = 0.0
        self.ready: list[Actor] = []
        self.actions = 0
        self.current: Actor | None = None
        self._alarms: list[tuple[float, int, Actor | Callable[[], None], int]] = []
        self._order = 0
        self._everybody: list[Actor] = []
        self._hub = getcurrent()
        self._give_up_control = self._hub.switch

    # -- actors ------------------------------------------------------------------------------

    def spawn(self, process: Process, label: str, run: Callable[[], Any]) -> Actor:
        """Start a line of execution; it first runs when it is chosen."""
        actor = Actor(process, label, run)
        actor.parent = self._hub
        process.actors.append(actor)
        self._everybody.append(actor)
        self._can_go_on(actor)
        return actor

    def _can_go_on(self, actor: Actor) -> None:
        actor.ticket += 1
        (actor.process.frozen if actor.process.stopped else self.ready).append(actor)

    def reach(self, label: str) -> None:
        """The acting one is about to do something that others can see: others first, maybe."""
        actor = self.current
        assert actor is not None
        process = actor.process
        if not process.alive:
            raise Killed
        actor.label = label
        actor.ticket += 1
        (process.frozen if process.stopped else self.ready).append(actor)
        self._give_up_control()
        if not process.alive:
            raise Killed

    def park(self, label: str, until: float | None = None) -> None:
        """Wait to be woken, or for a time."""
        actor = self.current
        assert actor is not None
        process = actor.process
        if not process.alive:
            raise Killed
        actor.label = label
        if until is not None:
            self._alarm(until, actor, actor.ticket)
        self._give_up_control()
        if not process.alive:
            raise Killed

    def sleep(self, seconds: float, label: str = "asleep") -> None:
        """Let time pass."""
        self.park(label, self.now + seconds)

    def place(self) -> Place:
        """Where the acting one is going to wait, to be given to those who may wake it."""
        assert self.current is not None
        return self.current, self.current.ticket

    def wake(self, place: Place) -> None:
        """Continue the actor that still waits there."""
        actor, ticket = place
        if actor.ticket == ticket and actor.process.alive and not actor.dead:
            self._can_go_on(actor)

    def at(self, time: float, call: Callable[[], None]) -> None:
        """Call something, outside of any actor, when the clock gets there."""
        self._alarm(time, call, 0)

    def _alarm(self, time: float, what: Actor | Callable[[], None], ticket: int) -> None:
        self._order += 1
        heappush(self._alarms, (time, self._order, what, ticket))

    # -- going on ----------------------------------------------------------------------------

    def step(self) -> bool:
        """Let one actor act. False: none ever will."""
        ready = self.ready
        while not ready:
            if not self._alarms:
                return False
            self._pass_time()
        place = int(self.random.random() * len(ready))
        actor = ready[place]
        ready[place] = ready[-1]
        ready.pop()
        self.current = actor
        try:
            actor.switch()
        finally:
            self.current = None
        return True

    def _pass_time(self) -> None:
        time, _, what, ticket = heappop(self._alarms)
        if time > self.now:
            self.now = time
        if not isinstance(what, Actor):
            what()
        elif what.ticket == ticket and what.process.alive and not what.dead:
            self._can_go_on(what)

    # -- processes ---------------------------------------------------------------------------

    def kill(self, process: Process) -> None:
        """SIGKILL: nothing of the process ever runs again; the database drops its sessions.

        Called by one of its own actors, it returns: that one must raise `Killed` itself.
        """
        if not process.alive:
            return
        process.alive = False
        for transaction in list(process.transactions):
            transaction.abort()
        acting = self.current
        for actor in process.actors:
            if actor is not acting and bool(actor):  # it has begun, and not ended
                actor.parent = getcurrent()
                self.current = actor
                actor.throw(Killed)
        self.current = acting
        self.ready = [actor for actor in self.ready if actor.process.alive]
        process.frozen.clear()
        if process.on_death is not None:
            process.on_death()

    def stop(self, process: Process, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after some time."""
        if process.stopped or not process.alive:
            return
        process.stopped = True
        process.frozen += [actor for actor in self.ready if actor.process is process]
        self.ready = [actor for actor in self.ready if actor.process is not process]
        for transaction in list(process.transactions):
            transaction.left_idle()
        self.at(self.now + seconds, lambda: self.resume(process))

    def close(self) -> None:
        """End all actors."""
        for process in {actor.process for actor in self._everybody}:
            process.on_death = None
            self.kill(process)

    def resume(self, process: Process) -> None:
        """SIGCONT."""
        if process.stopped and process.alive:
            process.stopped = False
            self.ready += process.frozen
            process.frozen.clear()
