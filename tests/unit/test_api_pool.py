"""The pool of the server's threads: who waits lends the place."""

from __future__ import annotations

import threading
from concurrent.futures import wait

import pytest

from api.server.request_threads import RequestThreads

SOON = 20


def test_no_more_than_its_size_work_at_a_time():
    pool, gate, lock = RequestThreads(3), threading.Event(), threading.Lock()
    begun = threading.Semaphore(0)
    at_work, most = 0, 0

    def work() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        begun.release()
        gate.wait(SOON)
        with lock:
            at_work -= 1

    jobs = [pool.submit(work) for _ in range(20)]
    assert all(begun.acquire(timeout=SOON) for _ in range(3))
    assert pool.waiting == 17
    gate.set()
    wait(jobs, SOON)
    assert (most, all(job.done() for job in jobs)) == (3, True)
    pool.shutdown()


def test_those_that_wait_leave_their_place_to_others():
    pool, gate = RequestThreads(2), threading.Event()

    def waits() -> str:
        with pool.lend_thread():
            gate.wait(SOON)
        return "waited"

    waiting = [pool.submit(waits) for _ in range(50)]
    assert [pool.submit(abs, n).result(SOON) for n in range(20)] == list(range(20))
    assert not any(job.done() for job in waiting)
    gate.set()
    assert {job.result(SOON) for job in waiting} == {"waited"}
    # Those that were there for the others' sake have gone, or go when they are asked for.
    assert [pool.submit(lambda: 1).result(SOON) for _ in range(20)] == [1] * 20
    pool.shutdown()
    assert not pool._threads


def test_an_error_is_the_caller_s():
    pool = RequestThreads(1)
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 // 0).result(SOON)
    assert pool.submit(lambda: 1).result(SOON) == 1
    pool.shutdown()


def test_a_stop_ends_what_stands_in_line_or_cancels_it():
    pool, gate = RequestThreads(1), threading.Event()
    first, second = pool.submit(gate.wait, SOON), pool.submit(lambda: 2)
    pool.shutdown(wait=False)
    gate.set()
    assert (first.result(SOON), second.result(SOON)) == (True, 2)
    with pytest.raises(RuntimeError):
        pool.submit(lambda: 3)

    pool, gate, begun = RequestThreads(1), threading.Event(), threading.Event()

    def begin() -> bool:
        begun.set()
        return gate.wait(SOON)

    first, second = pool.submit(begin), pool.submit(lambda: 2)
    assert begun.wait(SOON)
    pool.shutdown(wait=False, cancel_futures=True)
    gate.set()
    assert (first.result(SOON), second.cancelled()) == (True, True)


def test_what_may_come_later_waits_for_all_others_and_runs_one_at_a_time():
    pool, gate = RequestThreads(3), threading.Event()
    order: list[str] = []

    def later(name: str) -> None:
        order.append(f"{name} begins")
        gate.wait(SOON)
        order.append(f"{name} ends")

    both = [pool.submit_later(later, name) for name in "ab"]
    assert [pool.submit(abs, n).result(SOON) for n in range(20)] == list(range(20))
    assert order == ["a begins"]
    gate.set()
    wait(both, SOON)
    assert order == ["a begins", "a ends", "b begins", "b ends"]
    pool.shutdown()


def test_another_may_follow_while_one_of_those_waits():
    pool, gate = RequestThreads(1), threading.Event()

    def waits() -> None:
        with pool.lend_thread():
            gate.wait(SOON)

    waiting = pool.submit_later(waits)
    assert pool.submit_later(abs, -1).result(SOON) == 1
    gate.set()
    waiting.result(SOON)
    assert pool.submit_later(abs, -2).result(SOON) == 2
    pool.shutdown()


def test_a_place_that_is_lent_inside_of_another_wait_is_lent_once():
    pool, begun, gate = RequestThreads(1), threading.Semaphore(0), threading.Event()

    def waits_twice() -> None:
        with pool.lend_thread(), pool.lend_thread():
            begun.release()
            gate.wait(SOON)

    waiting = pool.submit(waits_twice)
    assert begun.acquire(timeout=SOON)
    assert pool._freed == 1
    gate.set()
    waiting.result(SOON)
    assert pool._freed == 0
    pool.shutdown()
