"""Memory that a worker's processes share: what each has in hand, and a few flags.

The main process makes it before it forks. A process writes an attempt's id here *before* it
claims it, so that the heartbeat never misses a claim; and a claim whose reply was lost is
reported by nobody and expires with its lease (DESIGN, Leases).

Each slot has one writer: a child process, or a thread of the pool of threads.
"""

from __future__ import annotations

import mmap
import struct
import uuid
from collections.abc import Iterator
from typing import Any

#: Processes or threads that one worker can have.
SLOTS = 1024

#: What a process counts; the sums are in the worker's statistics.
COUNTERS = ("claimed", "refused", "continued", "left")

_FLAGS = 64
_ID = 16
_ENTRY = struct.Struct(f"<Q{_ID}s{_ID}s{len(COUNTERS)}Q")
_CURRENT = 8
_NEXT = _CURRENT + _ID
_COUNTS = _NEXT + _ID
_EMPTY = bytes(_ID)
_STOPPING, _EVENTS = 0, 1


class InFlightTable:
    """All slots of one worker, as the main process sees them."""

    def __init__(self, slots: int = SLOTS) -> None:
        self.slots = slots
        self._memory = mmap.mmap(-1, _FLAGS + slots * _ENTRY.size)

    @property
    def stopping(self) -> bool:
        """The worker was asked to stop: nothing is continued, nothing more is claimed."""
        return bool(self._memory[_STOPPING])

    @stopping.setter
    def stopping(self, value: bool) -> None:
        self._memory[_STOPPING] = value

    @property
    def events(self) -> bool:
        """Somebody watches the worker's task events (``-E``)."""
        return bool(self._memory[_EVENTS])

    @events.setter
    def events(self, value: bool) -> None:
        self._memory[_EVENTS] = value

    def slot(self, index: int, process: int) -> InFlightSlot:
        """The slot that a process or thread writes from now on; empty at first.

        Raises:
            IndexError: there are more processes or threads than slots.
        """
        if not 0 <= index < self.slots:
            raise IndexError(f"a worker can have {self.slots} processes or threads")
        hand = InFlightSlot(self._memory, _FLAGS + index * _ENTRY.size)
        hand.assign(process)
        return hand

    def attempts(self) -> list[str]:
        """The ids of all attempts in hand."""
        return [id for _, ids in self._entries() for id in ids]

    def attempts_of(self, process: int) -> list[str]:
        """The ids of the attempts that one process has in hand."""
        return [id for owner, ids in self._entries() if owner == process for id in ids]

    def busy_processes(self) -> set[int]:
        """The processes that have something in hand."""
        return {owner for owner, ids in self._entries() if ids}

    def clear_process(self, process: int) -> None:
        """A process is gone: what it had in hand is reported no longer."""
        for index, (owner, _) in enumerate(self._entries()):
            if owner == process:
                InFlightSlot(self._memory, _FLAGS + index * _ENTRY.size).assign(0)

    def counts(self) -> dict[str, int]:
        """The sums of what the processes count."""
        totals = [0] * len(COUNTERS)
        for _, _, _, *counts in self._raw():
            totals = [total + count for total, count in zip(totals, counts, strict=True)]
        return dict(zip(COUNTERS, totals, strict=True))

    def _entries(self) -> Iterator[tuple[int, list[str]]]:
        for owner, current, following, *_ in self._raw():
            ids = [str(uuid.UUID(bytes=raw)) for raw in (current, following) if raw != _EMPTY]
            yield owner, ids

    def _raw(self) -> Iterator[tuple[Any, ...]]:
        return _ENTRY.iter_unpack(self._memory[_FLAGS:])


def _bytes(attempt: str) -> bytes:
    """A UUID's; at a tenth of what making a `uuid.UUID` takes, twice for each step."""
    return bytes.fromhex(attempt.replace("-", ""))


class InFlightSlot:
    """The slot of one process or thread: the attempt that it runs and the one that follows."""

    def __init__(self, memory: mmap.mmap, offset: int) -> None:
        self._memory = memory
        self._offset = offset

    def assign(self, process: int) -> None:
        """Take the slot over from whoever had it; what was counted stays."""
        self._write(_CURRENT, _EMPTY)
        self._write(_NEXT, _EMPTY)
        self._memory[self._offset : self._offset + _CURRENT] = struct.pack("<Q", process)

    def set_current(self, attempt: str) -> None:
        """The attempt is about to be claimed, or runs."""
        self._write(_CURRENT, _bytes(attempt))

    def set_next(self, attempt: str) -> None:
        """The attempt may be taken by the transition that is about to be saved."""
        self._write(_NEXT, _bytes(attempt))

    def next_becomes_current(self) -> None:
        """The one that follows runs now. Never is it in neither place."""
        start = self._offset + _NEXT
        self._write(_CURRENT, self._memory[start : start + _ID])
        self._write(_NEXT, _EMPTY)

    def clear_next(self) -> None:
        """Nothing was taken."""
        self._write(_NEXT, _EMPTY)

    def clear(self) -> None:
        """Nothing is in hand."""
        self._write(_CURRENT, _EMPTY)
        self._write(_NEXT, _EMPTY)

    def count(self, what: str) -> None:
        """Count one of `COUNTERS` up."""
        start = self._offset + _COUNTS + 8 * COUNTERS.index(what)
        (value,) = struct.unpack_from("<Q", self._memory, start)
        struct.pack_into("<Q", self._memory, start, value + 1)

    def _write(self, field: int, value: bytes) -> None:
        start = self._offset + field
        self._memory[start : start + _ID] = value
