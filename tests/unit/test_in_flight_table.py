"""The memory that a worker's processes share, over a real fork."""

from __future__ import annotations

import os

import pytest

from orchestrator.execution.in_flight_table import InFlightTable
from orchestrator.ids import new_id


def _in_a_child(work: object) -> int:
    """Run a function in a forked process, which then dies without a word."""
    pid = os.fork()
    if pid == 0:
        work()  # type: ignore[operator]
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_the_parent_sees_what_a_child_holds() -> None:
    hands = InFlightTable()
    first, second = new_id(), new_id()

    def child() -> None:
        hand = hands.slot(3, os.getpid())
        hand.set_current(first)
        hand.set_next(second)
        hand.count("claimed")

    pid = _in_a_child(child)
    assert hands.attempts() == [first, second]
    assert hands.attempts_of(pid) == [first, second]
    assert hands.busy_processes() == {pid}
    hands.clear_process(pid)
    assert hands.attempts() == []
    assert hands.counts()["claimed"] == 1


def test_a_successor_is_never_in_neither_place() -> None:
    hands = InFlightTable()
    hand = hands.slot(0, 1)
    first, second = new_id(), new_id()
    hand.set_current(first)
    hand.set_next(second)
    hand.next_becomes_current()
    assert hands.attempts() == [second]
    hand.clear()
    assert hands.attempts() == []


def test_flags_are_shared() -> None:
    hands = InFlightTable()
    assert (hands.stopping, hands.events) == (False, False)
    hands.stopping = hands.events = True
    assert (hands.stopping, hands.events) == (True, True)


def test_there_are_only_so_many_slots() -> None:
    with pytest.raises(IndexError):
        InFlightTable(2).slot(2, 1)
