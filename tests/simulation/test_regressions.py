"""Faults of the product that the simulation has found, each in its smallest form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator.database.workers.worker_queries import ClaimedAttemptRow
from orchestrator.errors import DatabaseUnavailable
from orchestrator.metrics.meter import Meter
from orchestrator.scheduler.lease_watchdog import LeaseWatchdog
from tests.simulation.single_process_database import Alone
from tests.support.documents import doc


def test_what_a_resumption_makes_ready_may_be_taken_at_once():
    """Its ancestors were loaded for the decision, and are not in the stimulus' slice."""
    alone = Alone()
    id = alone.start(doc({"outer": {"do": [{"inner": {"call": "work"}}]}}))
    alone.tell(id, "suspend")
    work = alone.tell(id, "resume", alone.take())
    assert work is not None
    assert sorted(work.slice.steps) == [1, 2]
    assert alone.rows(id).attempts[-1].token == work.token


def test_a_cancel_disarms_the_timers_of_what_was_suspended():
    alone = Alone()
    id = alone.start(doc({"pause": {"wait": {"seconds": 60}}}))
    alone.tell(id, "suspend")
    alone.tell(id, "cancel")
    assert alone.rows(id).timers == {}


class Clinic:
    """A watchdog, a clock, and one attempt in the hands of a worker."""

    def __init__(self) -> None:
        self.now = 0.0
        self.beat = 1
        self.away = False
        self.held = True
        self.lost: list[str] = []
        self.meter = Meter()
        self.watchdog = LeaseWatchdog(self, self, 10.0, lambda: self.now)  # type: ignore[arg-type]

    def claimed(self) -> Sequence[ClaimedAttemptRow]:
        if self.away:
            raise DatabaseUnavailable
        return [ClaimedAttemptRow("attempt", "instance", 1, "worker", self.beat, self.held)]

    def report_lost_attempt(self, attempt: str, *_: Any) -> None:
        self.lost.append(attempt)

    def look(self, *, every: float, until: float, beats: bool) -> None:
        """Look again and again; the worker beats before each look, or not at all."""
        while self.now < until:
            self.now += every
            self.beat += beats
            self.watchdog.check()


@pytest.fixture
def clinic() -> Clinic:
    return Clinic()


def test_a_silent_worker_loses_its_attempt_after_one_lease(clinic):
    clinic.look(every=2, until=20, beats=True)
    assert clinic.lost == []
    clinic.look(every=2, until=30, beats=False)
    assert clinic.lost == []
    clinic.look(every=2, until=32, beats=False)
    assert clinic.lost == ["attempt"]


def test_a_claim_that_its_living_worker_does_not_report_is_lost(clinic):
    clinic.held = False
    clinic.look(every=2, until=14, beats=True)
    assert "attempt" in clinic.lost


def test_an_outage_that_the_watchdog_did_not_meet_itself_expires_nobody(clinic):
    """The beat's other jobs met it, and kept the watchdog from looking."""
    clinic.look(every=2, until=20, beats=True)
    clinic.now += 60  # nobody could beat, nobody looked
    clinic.watchdog.check()
    clinic.look(every=1, until=clinic.now + 3, beats=False)
    assert clinic.lost == []
    clinic.look(every=2, until=clinic.now + 20, beats=True)
    assert clinic.lost == []


def test_a_watchdog_that_was_stopped_while_it_looked_expires_nobody(clinic):
    """Between the answer and its judgement three leases passed; the worker beat on."""
    clinic.look(every=2, until=20, beats=True)
    answer = clinic.claimed()
    clinic.watchdog._store = Stopped(clinic, answer)
    clinic.watchdog.check()
    clinic.watchdog._store = clinic
    clinic.look(every=2, until=clinic.now + 20, beats=True)
    assert clinic.lost == []


class Stopped:
    """Gives an answer that is three leases old when it arrives."""

    def __init__(self, clinic: Clinic, answer: Sequence[ClaimedAttemptRow]) -> None:
        self.clinic, self.answer = clinic, answer

    def claimed(self) -> Sequence[ClaimedAttemptRow]:
        self.clinic.now += 30
        self.clinic.beat += 9
        return self.answer


def test_a_worker_that_died_in_an_outage_still_loses_its_attempt(clinic):
    clinic.look(every=2, until=20, beats=True)
    clinic.away = True
    for _ in range(5):
        clinic.now += 2
        with pytest.raises(DatabaseUnavailable):
            clinic.watchdog.check()
    clinic.away = False
    clinic.look(every=2, until=clinic.now + 14, beats=False)
    assert clinic.lost


def test_a_lease_that_runs_out_is_seen_at_once(clinic):
    """Looks come as often as it takes to know a claim young, and to see its lease's last moment."""
    looks = []
    clinic.watchdog.check()
    while not clinic.lost:
        looks.append(clinic.watchdog.until_next())
        clinic.now += looks[-1]
        clinic.watchdog.check()
    assert 10.0 < clinic.now < 10.2
    assert max(looks) < 1.1


def test_a_loss_that_nobody_brings_is_told_again_but_not_in_a_hurry(clinic):
    clinic.watchdog.check()
    while clinic.now < 20:
        clinic.now += clinic.watchdog.until_next()
        clinic.watchdog.check()
    # Ten leases' tenths pass in the second lease; each is seen a little late.
    assert len(clinic.lost) in range(8, 13)


def test_a_loss_says_by_how_much_the_watchdog_looked_late(
    clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own lateness: of watching past the lease, and of an hour in which it did not watch."""
    clinic.look(every=2, until=20, beats=True)
    clinic.now += 3600
    clinic.look(every=2, until=3630, beats=False)
    (told,) = [vars(one) for one in caplog.records]
    assert (told["action"], told["delay_seconds"], told["unwatched"]) == (
        "attempt_lost", pytest.approx(4 / 3, abs=0.01), pytest.approx(3602 - 10 / 3, abs=0.01),
    )  # fmt: skip
