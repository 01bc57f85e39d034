"""The meters of a worker: one a process, in memory that they share over the fork.

Anonymous memory rather than the files of prometheus_client's own multiprocess mode: there
is no folder to make, to share or to clean, nothing is left by whatever end, a child that
takes a dead one's place goes on with its numbers, and a users' app that has that mode for
metrics of its own is not touched.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

from orchestrator.metrics.meter import REGION, Meter, Series, read


class Meters:
    """So many meters; make it before the fork. Memory is taken only by those in use."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._memory = memoryview(mmap.mmap(-1, slots * REGION + slots))
        #: Which are in use: to read the memory of the others would take it.
        self._used = self._memory[slots * REGION :]

    def meter(self, slot: int) -> Meter:
        """The meter of a slot, for its one writer; with what the writer before it counted.
        Outside of what there is, one whose numbers nobody reads."""
        if not 0 <= slot < self._slots:
            return Meter()
        self._used[slot] = 1
        return Meter(self._region(slot))

    def read(self) -> Iterator[Series]:
        """What all of them have counted so far."""
        for slot in range(self._slots):
            if self._used[slot]:
                yield from read(self._region(slot))

    def _region(self, slot: int) -> memoryview:
        return self._memory[slot * REGION : (slot + 1) * REGION]
