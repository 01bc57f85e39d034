"""Counts the metrics of one process in a piece of memory, which another process may read.

The memory holds numbers in its first half and, in the second, a line of JSON a series: the
metric's name, its labels, where its numbers begin. One process writes; whoever reads sees
whole numbers, because eight aligned bytes are written at once. A process that takes the
memory over from one that has died goes on where that one stopped, so that nothing is ever
counted down and nothing is left behind.
"""

from __future__ import annotations

import json
import struct
import threading
from bisect import bisect_left
from collections.abc import Iterator

from orchestrator.metrics.catalog import METRICS, Metric

#: Bytes of one meter's memory.
REGION = 256 * 1024
_HEAD = 64
_TEXT = REGION // 2
#: Room that only `OTHER` may take, in numbers and in bytes of text.
_SPARE = 1024
_NUMBERS = (_TEXT - _HEAD) // 8

#: The value of every label of a series for which there is no room of its own.
OVERFLOW = "_other"

Labels = tuple[str, ...]
#: A metric's name, its labels, its numbers: the count; or one a bucket, +Inf's, the sum.
Series = tuple[str, Labels, list[float]]


class Meter:
    """The counters of one process; threads may share it."""

    def __init__(self, memory: memoryview | None = None) -> None:
        self._memory = memoryview(bytearray(REGION)) if memory is None else memory
        self._numbers = self._memory[_HEAD:_TEXT].cast("d")
        self._places: dict[tuple[Metric, Labels], int] = {}
        self._lock = threading.Lock()
        self._free = 0
        for name, labels, start in _places(self._memory):
            self._places[METRICS[name], labels] = start
            self._free = start + METRICS[name].width

    def count(self, metric: Metric, labels: Labels = (), by: float = 1) -> None:
        """Count up."""
        with self._lock:
            place = self._places.get((metric, labels))
            if place is None:
                place = self._made(metric, labels)
            self._numbers[place] += by

    def observe(self, metric: Metric, value: float, labels: Labels = ()) -> None:
        """Add a value to a histogram."""
        with self._lock:
            place = self._places.get((metric, labels))
            if place is None:
                place = self._made(metric, labels)
            self._numbers[place + bisect_left(metric.buckets, value)] += 1
            self._numbers[place + len(metric.buckets) + 1] += value

    def read(self) -> Iterator[Series]:
        """What was counted so far."""
        return read(self._memory)

    def _made(self, metric: Metric, labels: Labels) -> int:
        """The place of a new series; that of the others, where there is no more room."""
        rest = (OVERFLOW,) * len(labels)
        spare = 0 if labels == rest else _SPARE
        line = json.dumps([metric.name, labels, self._free]).encode() + b"\n"
        used = _used(self._memory)
        if self._free + metric.width > _NUMBERS - spare or used + len(line) > _TEXT - spare:
            # Not remembered: what there is no room for must not fill this process's memory.
            place = self._places.get((metric, rest))
            return place if place is not None else self._made(metric, rest)
        self._memory[_TEXT + used : _TEXT + used + len(line)] = line
        struct.pack_into("<Q", self._memory, 0, used + len(line))
        place = self._places[metric, labels] = self._free
        self._free += metric.width
        return place


def read(memory: memoryview) -> Iterator[Series]:
    """What the writer of this memory has counted so far."""
    for name, labels, start in _places(memory):
        begin = _HEAD + 8 * start
        width = METRICS[name].width
        yield name, labels, list(struct.unpack_from(f"{width}d", memory, begin))


def _used(memory: memoryview) -> int:
    return int(struct.unpack_from("<Q", memory, 0)[0])


def _places(memory: memoryview) -> Iterator[tuple[str, Labels, int]]:
    for line in bytes(memory[_TEXT : _TEXT + _used(memory)]).splitlines():
        name, labels, start = json.loads(line)
        yield name, tuple(labels), start
