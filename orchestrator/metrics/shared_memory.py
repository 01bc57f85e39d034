"""The meters of a worker: one per process, in memory that is shared over the fork.

Anonymous memory instead of the files of prometheus_client's multiprocess mode: no folder must be
created, shared or cleaned, and a new child continues the numbers of the dead child that it
replaces. An app that uses that mode for its own metrics is not affected.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

from orchestrator.metrics.meter import REGION, Meter, Series, read


class Meters:
    """`slots` meters in shared memory. Create them before the fork. Only the slots in use occupy
    memory."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._memory = memoryview(mmap.mmap(-1, slots * REGION + slots))
        #: One byte per slot: 1 if it is in use. Reading an unused slot would allocate its memory.
        self._used = self._memory[slots * REGION :]

    def meter(self, slot: int) -> Meter:
        """Return the meter of a slot for its one writer, with the numbers of the slot's previous
        writer. Beyond the last slot it is a separate meter that is never read."""
        if not 0 <= slot < self._slots:
            return Meter()
        self._used[slot] = 1
        return Meter(self._region(slot))

    def read(self) -> Iterator[Series]:
        """Return the series of all meters in use."""
        for slot in range(self._slots):
            if self._used[slot]:
                yield from read(self._region(slot))

    def _region(self, slot: int) -> memoryview:
        return self._memory[slot * REGION : (slot + 1) * REGION]
