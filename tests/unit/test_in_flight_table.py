"""The memory that a worker's processes share, over a real fork."""

from __future__ import annotations

import os

import pytest

from orchestrator.execution.runtime.in_flight_table import InFlightTable
from orchestrator.ids import new_id


def _in_a_child(work: object) -> int:
    """Run a function in a forked process, which then exits without cleanup; return its pid."""
    pid = os.fork()
    if pid == 0:
        work()  # type: ignore[operator]
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_the_parent_sees_the_attempts_of_a_child() -> None:
    table = InFlightTable()
    first, second = new_id(), new_id()

    def child() -> None:
        slot = table.slot(3, os.getpid())
        slot.set_current(first)
        slot.set_next(second)
        slot.count("claimed")

    pid = _in_a_child(child)
    assert table.attempts() == [first, second]
    assert table.attempts_of(pid) == [first, second]
    assert table.busy_processes() == {pid}
    table.clear_process(pid)
    assert table.attempts() == []
    assert table.counter_totals()["claimed"] == 1


def test_the_next_attempt_becomes_the_current_one() -> None:
    table = InFlightTable()
    slot = table.slot(0, 1)
    first, second = new_id(), new_id()
    slot.set_current(first)
    slot.set_next(second)
    slot.next_becomes_current()
    assert table.attempts() == [second]
    slot.clear()
    assert table.attempts() == []


def test_flags_are_shared() -> None:
    table = InFlightTable()
    assert (table.stopping, table.events) == (False, False)
    table.stopping = table.events = True
    assert (table.stopping, table.events) == (True, True)


def test_an_index_beyond_the_slots_is_refused() -> None:
    with pytest.raises(IndexError):
        InFlightTable(2).slot(2, 1)
