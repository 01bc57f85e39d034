"""The memory that a worker's processes share, over a real fork."""

from __future__ import annotations

import os

import pytest

from orchestrator.execution.hands import Hands
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
    hands = Hands()
    first, second = new_id(), new_id()

    def child() -> None:
        hand = hands.slot(3, os.getpid())
        hand.hold(first)
        hand.reserve(second)
        hand.count("claimed")

    pid = _in_a_child(child)
    assert hands.held() == [first, second]
    assert hands.of_process(pid) == [first, second]
    assert hands.processes() == {pid}
    hands.forget(pid)
    assert hands.held() == []
    assert hands.counts()["claimed"] == 1


def test_a_successor_is_never_in_neither_place() -> None:
    hands = Hands()
    hand = hands.slot(0, 1)
    first, second = new_id(), new_id()
    hand.hold(first)
    hand.reserve(second)
    hand.promote()
    assert hands.held() == [second]
    hand.release()
    assert hands.held() == []


def test_flags_are_shared() -> None:
    hands = Hands()
    assert (hands.stopping, hands.events) == (False, False)
    hands.stopping = hands.events = True
    assert (hands.stopping, hands.events) == (True, True)


def test_there_are_only_so_many_slots() -> None:
    with pytest.raises(IndexError):
        Hands(2).slot(2, 1)
