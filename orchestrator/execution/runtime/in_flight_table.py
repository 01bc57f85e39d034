"""Memory shared by a worker's processes: the attempts in flight of each, the instance on whose
decisions it has a lease, and two flags.

The main process creates it before it forks. A process writes an attempt's id here *before* it
claims the attempt, so that the heartbeat never misses a claim. The id of a claim whose reply was
lost is removed: that attempt's lease expires (DESIGN, Leases).

Each slot has one writer: a child process, or a thread of a thread pool.
"""

from __future__ import annotations

import mmap
import struct
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

#: Smallest number of slots. There is one for each process, thread or greenlet of a worker.
SLOTS = 1024

#: The counters of each process; the statistics of the worker show their sums.
COUNTERS = ("claimed", "refused", "continued", "left_to_lease")

_FLAGS = 64
_ID = 16
_ENTRY = struct.Struct(f"<Q{_ID}s{_ID}s{_ID}s{len(COUNTERS)}Q")
_CURRENT = 8
_NEXT = _CURRENT + _ID
_DECIDING = _NEXT + _ID
_COUNTS = _DECIDING + _ID
_EMPTY = bytes(_ID)
_STOPPING, _EVENTS = 0, 1


class InFlightTable:
    """All slots of one worker, which the main process reads."""

    def __init__(self, slots: int = SLOTS) -> None:
        self.slots = slots
        self._memory = mmap.mmap(-1, _FLAGS + slots * _ENTRY.size)

    @property
    def stopping(self) -> bool:
        """Whether the worker is stopping: its processes neither continue nor claim any more."""
        return bool(self._memory[_STOPPING])

    @stopping.setter
    def stopping(self, value: bool) -> None:
        self._memory[_STOPPING] = value

    @property
    def events(self) -> bool:
        """Whether the worker sends task events (``-E``)."""
        return bool(self._memory[_EVENTS])

    @events.setter
    def events(self, value: bool) -> None:
        self._memory[_EVENTS] = value

    def slot(self, index: int, process: int) -> InFlightSlot:
        """Return the slot at `index`, emptied, for the process with this pid or its thread.

        Raises:
            IndexError: there are more processes or threads than slots.
        """
        if not 0 <= index < self.slots:
            raise IndexError(f"a worker can have {self.slots} processes or threads")
        slot = InFlightSlot(self._memory, _FLAGS + index * _ENTRY.size)
        slot.assign(process)
        return slot

    def attempts(self) -> list[str]:
        """Return the ids of all attempts in flight."""
        return [id for _, ids in self._entries() for id in ids]

    def attempts_of(self, process: int) -> list[str]:
        """Return the ids of the attempts that the process with this pid has in flight."""
        return [id for owner, ids in self._entries() if owner == process for id in ids]

    def deciding(self) -> list[str]:
        """Return the instances on whose decisions a process of the worker has a lease."""
        return [str(uuid.UUID(bytes=raw[3])) for raw in self._raw() if raw[3] != _EMPTY]

    def is_deciding(self, process: int) -> bool:
        """Whether the process with this pid has a lease on an instance's decisions."""
        return any(raw[0] == process and raw[3] != _EMPTY for raw in self._raw())

    def busy_processes(self) -> set[int]:
        """Return the pids of the processes that have an attempt in flight."""
        return {owner for owner, ids in self._entries() if ids}

    def clear_process(self, process: int) -> None:
        """Empty the slots of a process that has exited: its attempts are no longer reported."""
        for index, (owner, _) in enumerate(self._entries()):
            if owner == process:
                InFlightSlot(self._memory, _FLAGS + index * _ENTRY.size).assign(0)

    def counter_totals(self) -> dict[str, int]:
        """Return the sum over all processes for each of `COUNTERS`."""
        totals = [0] * len(COUNTERS)
        for _, _, _, _, *counts in self._raw():
            totals = [total + count for total, count in zip(totals, counts, strict=True)]
        return dict(zip(COUNTERS, totals, strict=True))

    def _entries(self) -> Iterator[tuple[int, list[str]]]:
        for owner, current, next_attempt, *_ in self._raw():
            ids = [str(uuid.UUID(bytes=raw)) for raw in (current, next_attempt) if raw != _EMPTY]
            yield owner, ids

    def _raw(self) -> Iterator[tuple[Any, ...]]:
        return _ENTRY.iter_unpack(self._memory[_FLAGS:])


def _bytes(attempt: str) -> bytes:
    """Return the 16 bytes of a UUID. Called twice per step; `uuid.UUID` takes ten times as long."""
    return bytes.fromhex(attempt.replace("-", ""))


class InFlightSlot:
    """The slot of one process or thread: its current attempt, the next one, and the instance that
    it decides."""

    def __init__(self, memory: mmap.mmap, offset: int) -> None:
        self._memory = memory
        self._offset = offset

    def assign(self, process: int) -> None:
        """Empty the slot and make this pid its owner; the counters keep their values."""
        self._write(_CURRENT, _EMPTY)
        self._write(_NEXT, _EMPTY)
        self._write(_DECIDING, _EMPTY)
        self._memory[self._offset : self._offset + _CURRENT] = struct.pack("<Q", process)

    def set_current(self, attempt: str) -> None:
        """Store the id of the attempt that is about to be claimed."""
        self._write(_CURRENT, _bytes(attempt))

    def set_next(self, attempt: str) -> None:
        """Store the id of the attempt that the transition about to be saved may claim."""
        self._write(_NEXT, _bytes(attempt))

    def next_becomes_current(self) -> None:
        """Make the next attempt the current one. In between, both fields hold its id: a heartbeat
        at that moment still reports it."""
        start = self._offset + _NEXT
        self._write(_CURRENT, self._memory[start : start + _ID])
        self._write(_NEXT, _EMPTY)

    def clear_next(self) -> None:
        """Remove the next attempt: the transition did not claim it."""
        self._write(_NEXT, _EMPTY)

    def clear(self) -> None:
        """Remove both attempts."""
        self._write(_CURRENT, _EMPTY)
        self._write(_NEXT, _EMPTY)

    def set_deciding(self, instance: str | None) -> None:
        """Store the instance on whose decisions this process has a lease; None: it has none."""
        self._write(_DECIDING, _EMPTY if instance is None else _bytes(instance))

    def count(self, counter: str) -> None:
        """Add 1 to one of `COUNTERS`."""
        start = self._offset + _COUNTS + 8 * COUNTERS.index(counter)
        (value,) = struct.unpack_from("<Q", self._memory, start)
        struct.pack_into("<Q", self._memory, start, value + 1)

    def _write(self, field: int, value: bytes) -> None:
        start = self._offset + field
        self._memory[start : start + _ID] = value


class SlotLease:
    """The use of a slot by a thread or a greenlet, for as long as that keeps this object.

    Its end empties the slot, so that the lease of an attempt that it left behind expires, and adds
    the slot's index to `free`."""

    def __init__(self, slot: InFlightSlot, index: int, free: deque[int]) -> None:
        self._slot, self._index, self._free = slot, index, free

    def __del__(self) -> None:
        with suppress(ValueError):  # at the end of the process the memory is closed
            self._slot.assign(0)
        self._free.append(self._index)
