"""Counts the metrics of one process in a block of memory that another process may read.

The first half of the memory holds numbers. The second half holds a line of JSON per series: the
metric's name, its labels and the index of its first number. One process writes; readers never
see half a number, because eight aligned bytes are written at once. A process that takes over the
memory of a dead process continues its numbers, so that no counter ever decreases.
"""

from __future__ import annotations

import json
import struct
import threading
from bisect import bisect_left
from collections.abc import Iterator

from orchestrator.metrics.catalog import METRICS, Metric

#: Size of one meter's memory, in bytes.
REGION = 256 * 1024
_HEAD = 64
_TEXT = REGION // 2
#: Space reserved for the series of `OVERFLOW`, in numbers and in bytes of text.
_SPARE = 1024
_NUMBERS = (_TEXT - _HEAD) // 8

#: The value of all labels of one series for each metric: it counts what has no space for a series
#: of its own.
OVERFLOW = "_other"

Labels = tuple[str, ...]
#: A metric's name, its labels, its numbers: a counter's value; or a histogram's count per
#: bucket, the one of +Inf, and the sum.
Series = tuple[str, Labels, list[float]]


class Meter:
    """The counters of one process; threads may share it."""

    def __init__(self, memory: memoryview | None = None) -> None:
        self._memory = memoryview(bytearray(REGION)) if memory is None else memory
        self._numbers = self._memory[_HEAD:_TEXT].cast("d")
        self._positions: dict[tuple[Metric, Labels], int] = {}
        self._lock = threading.Lock()
        self._free = 0
        for name, labels, start in _series_positions(self._memory):
            self._positions[METRICS[name], labels] = start
            self._free = start + METRICS[name].width

    def count(self, metric: Metric, labels: Labels = (), by: float = 1) -> None:
        """Increase a counter."""
        with self._lock:
            position = self._positions.get((metric, labels))
            if position is None:
                position = self._add_series(metric, labels)
            self._numbers[position] += by

    def observe(self, metric: Metric, value: float, labels: Labels = ()) -> None:
        """Add a value to a histogram."""
        with self._lock:
            position = self._positions.get((metric, labels))
            if position is None:
                position = self._add_series(metric, labels)
            self._numbers[position + bisect_left(metric.buckets, value)] += 1
            self._numbers[position + len(metric.buckets) + 1] += value

    def read(self) -> Iterator[Series]:
        """Return all series with their numbers so far."""
        return read(self._memory)

    def _add_series(self, metric: Metric, labels: Labels) -> int:
        """Add a series and return the index of its first number. Without space for it, return that
        of the overflow series."""
        overflow = (OVERFLOW,) * len(labels)
        spare = 0 if labels == overflow else _SPARE
        line = json.dumps([metric.name, labels, self._free]).encode() + b"\n"
        used = _used(self._memory)
        if self._free + metric.width > _NUMBERS - spare or used + len(line) > _TEXT - spare:
            # Return the overflow series without storing the new one in `_positions`: an unlimited
            # number of label values would fill the memory.
            position = self._positions.get((metric, overflow))
            return position if position is not None else self._add_series(metric, overflow)
        self._memory[_TEXT + used : _TEXT + used + len(line)] = line
        struct.pack_into("<Q", self._memory, 0, used + len(line))
        position = self._positions[metric, labels] = self._free
        self._free += metric.width
        return position


def read(memory: memoryview) -> Iterator[Series]:
    """Return all series in the memory of a meter with their numbers so far."""
    for name, labels, start in _series_positions(memory):
        begin = _HEAD + 8 * start
        width = METRICS[name].width
        yield name, labels, list(struct.unpack_from(f"{width}d", memory, begin))


def _used(memory: memoryview) -> int:
    return int(struct.unpack_from("<Q", memory, 0)[0])


def _series_positions(memory: memoryview) -> Iterator[tuple[str, Labels, int]]:
    for line in bytes(memory[_TEXT : _TEXT + _used(memory)]).splitlines():
        name, labels, start = json.loads(line)
        yield name, tuple(labels), start
