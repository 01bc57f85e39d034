"""What a look at a schedule decides: misfires, jitter, overlap, the policies of a document."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.document import InvalidDocument, load
from orchestrator.scheduler.schedules.cron import Cron, Missing, Repeated
from orchestrator.scheduler.schedules.firing_policy import (
    MAX_FIRINGS,
    Due,
    DueTimes,
    FiringOutcome,
    apply_overlap,
)
from orchestrator.scheduler.schedules.policy_options import (
    Misfire,
    Overlap,
    ScheduleKind,
    SchedulePolicy,
    fill,
    plans,
)
from orchestrator.scheduler.schedules.recurrence import Every, between, following

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = SchedulePolicy(ZoneInfo("UTC"))


def rhythm(policy: SchedulePolicy = POLICY, every: timedelta = MINUTE, **changes) -> DueTimes:
    return DueTimes("s", Every(NOON, every), replace(policy, **changes))


def minutes(found) -> list[float]:
    return [(due.due - NOON) / MINUTE for due in found]


def test_every_is_due_each_interval_after_its_anchor():
    every = Every(NOON, MINUTE)
    assert every.after(NOON - 10 * MINUTE) == NOON + MINUTE
    assert every.after(NOON) == NOON + MINUTE
    assert every.after(NOON + MINUTE) == NOON + 2 * MINUTE
    assert every.until(NOON) is None
    assert every.until(NOON + MINUTE) == NOON + MINUTE
    assert every.until(NOON + 1.5 * MINUTE) == NOON + MINUTE
    assert between(every, NOON, NOON + 3 * MINUTE, 10) == [
        NOON + MINUTE, NOON + 2 * MINUTE, NOON + 3 * MINUTE
    ]  # fmt: skip


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Tokyo"])
def test_a_range_may_begin_with_the_calendar(zone: str):
    first = datetime.min.replace(tzinfo=UTC)
    assert between(Every(NOON, MINUTE), first, NOON + MINUTE, 10) == [NOON + MINUTE]
    yearly = Cron.of("0 0 1 1 *", ZoneInfo(zone))
    assert len(between(yearly, first, NOON, 10)) == 10


def test_every_does_not_drift_in_a_year_of_tenths_of_a_second():
    every = Every(NOON, timedelta(milliseconds=100))
    year = NOON + timedelta(days=365)
    assert every.until(year) == year
    assert every.after(year) == year + timedelta(milliseconds=100)


def test_nothing_fires_before_it_is_due():
    found = rhythm().decide(NOON + MINUTE, NOON + MINUTE - timedelta(microseconds=1))
    assert found.fire == ()
    assert found.next == Due(NOON + MINUTE, NOON + MINUTE)
    found = rhythm().decide(NOON + MINUTE, NOON + MINUTE)
    assert minutes(found.fire) == [1]
    assert found.next is not None
    assert minutes([found.next]) == [2]


def test_all_that_came_in_time_fire_in_order_and_in_portions():
    fast = rhythm(every=timedelta(milliseconds=10))
    first, now = NOON + timedelta(milliseconds=10), NOON + timedelta(seconds=3)
    fired = []
    while (found := fast.decide(first, now)).fire:
        assert len(found.fire) <= MAX_FIRINGS
        assert found.missed is None
        assert found.next is not None
        fired += [due.due for due in found.fire]
        first = found.next.due
    assert fired == [NOON + timedelta(milliseconds=10 * n) for n in range(1, 301)]


@pytest.mark.parametrize(
    ("misfire", "fired", "dropped", "since"),
    [
        (Misfire.SKIP, [], 59, 1),
        (Misfire.ONCE, [59], None, 1),
        (Misfire.ALL, [57, 58, 59], 56, 1),
    ],
)
def test_what_was_missed_is_dropped_made_up_for_once_or_all_of_it_up_to_the_cap(
    misfire, fired, dropped, since
):
    found = rhythm(misfire=misfire, cap=3).decide(NOON + MINUTE, NOON + 59.5 * MINUTE)
    assert minutes(found.fire) == fired
    assert minutes([found.missed] if found.missed else []) == ([dropped] if dropped else [])
    stretches = [
        due.missed_since for due in (*found.fire, found.missed) if due and due.missed_since
    ]
    assert stretches == [NOON + since * MINUTE]
    assert found.next is not None
    assert minutes([found.next]) == [60]


def test_one_missed_due_time_stands_for_itself_alone():
    found = rhythm(misfire=Misfire.SKIP).decide(NOON + MINUTE, NOON + 1.5 * MINUTE)
    assert found.missed == Due(NOON + MINUTE, NOON + MINUTE)
    found = rhythm(misfire=Misfire.ALL, cap=3).decide(NOON + MINUTE, NOON + 4.5 * MINUTE)
    assert found.missed == Due(NOON + MINUTE, NOON + MINUTE)


def test_within_its_grace_a_late_due_time_is_not_missed():
    late = NOON + MINUTE + timedelta(seconds=9.9)
    assert minutes(rhythm(misfire=Misfire.SKIP).decide(NOON + MINUTE, late).fire) == [1]
    assert rhythm(misfire=Misfire.SKIP, grace=5).decide(NOON + MINUTE, late).fire == ()


def test_a_hundred_years_of_misses_cost_no_more_than_one():
    century = NOON + timedelta(days=36_525)
    fast = rhythm(every=timedelta(milliseconds=1), misfire=Misfire.ALL, cap=5)
    assert len(fast.decide(NOON + MINUTE, century).fire) == 5
    cron = Cron.of("* * * * * *", ZoneInfo("Europe/Berlin"))
    found = DueTimes("s", cron, replace(POLICY, misfire=Misfire.ONCE)).decide(NOON, century)
    assert len(found.fire) == 1
    assert found.fire[0].missed_since == NOON


def test_a_cron_that_never_comes_again_has_no_next():
    class Once:
        def after(self, time):
            return NOON if time < NOON else None

        def until(self, time):
            return NOON if time >= NOON else None

    found = DueTimes("s", Once(), POLICY).decide(NOON, NOON)
    assert minutes(found.fire) == [0]
    assert found.next is None


def test_jitter_is_its_own_for_each_due_time_and_the_same_for_all_who_compute_it():
    one, other = rhythm(jitter=30), rhythm(jitter=30)
    times = [NOON + n * MINUTE for n in range(1, 200)]
    waits = [one.due(at).fires_at - at for at in times]
    assert waits == [other.due(at).fires_at - at for at in times]
    assert all(timedelta(0) <= wait < timedelta(seconds=30) for wait in waits)
    assert len(set(waits)) == len(waits)
    assert max(waits) > timedelta(seconds=25)
    assert min(waits) < timedelta(seconds=5)
    assert replace(one, schedule="another").due(times[0]) != one.due(times[0])


def test_nothing_fires_before_its_jitter_is_over_and_waiting_for_it_is_not_missing():
    jittered = rhythm(jitter=50, misfire=Misfire.SKIP)
    due = jittered.due(NOON + MINUTE)
    assert due.fires_at > due.due
    before = jittered.decide(due.due, due.fires_at - timedelta(microseconds=1))
    assert before.fire == ()
    assert before.next == due
    assert jittered.decide(due.due, due.fires_at).fire == (due,)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 200), st.sampled_from(list(Misfire)), st.integers(1, 20),
    st.floats(0, 30), st.floats(0, 40), st.lists(st.floats(0.001, 400), min_size=1, max_size=8),
)  # fmt: skip
def test_each_due_time_is_handled_once_whenever_one_looks(
    every, misfire, cap, grace, jitter, pauses
):
    looking = rhythm(
        every=timedelta(seconds=every), misfire=misfire, cap=cap, grace=grace, jitter=jitter
    )
    first = looking.next_after(NOON)
    assert first is not None
    at, now, told = first.due, NOON, []
    for pause in pauses:
        now += timedelta(seconds=pause)
        while (found := looking.decide(at, now)).fire or found.missed:
            assert all(due.fires_at <= now for due in found.fire)
            told += [*([found.missed] if found.missed else []), *found.fire]
            assert found.next is not None
            at = found.next.due
    covered = [
        each
        for due in told
        for each in between(looking.recurrence, due.missed_since or due.due, due.due, 10**5)
    ]
    count = len(covered)
    times = following(looking.recurrence, NOON)
    assert covered == [next(times) for _ in range(count)]
    assert at == next(times)


def a_due(number: int) -> Due:
    return Due(NOON + number * MINUTE, NOON + number * MINUTE)


S, Q, X = FiringOutcome.STARTED, FiringOutcome.QUEUED, FiringOutcome.SKIPPED


@pytest.mark.parametrize(
    ("overlap", "busy", "queued", "outcomes", "cancel", "replace"),
    [
        (Overlap.ALLOW, True, False, [S, S, S], False, False),
        (Overlap.SKIP, False, False, [S, X, X], False, False),
        (Overlap.SKIP, True, False, [X, X, X], False, False),
        (Overlap.QUEUE, False, False, [S, Q, X], False, False),
        (Overlap.QUEUE, True, False, [Q, X, X], False, False),
        (Overlap.QUEUE, True, True, [X, X, X], False, False),
        (Overlap.QUEUE, False, True, [X, X, X], False, False),
        (Overlap.CANCEL, False, False, [X, X, S], False, False),
        (Overlap.CANCEL, True, False, [X, X, Q], True, False),
        (Overlap.CANCEL, True, True, [X, X, Q], True, True),
        (Overlap.CANCEL, False, True, [X, X, Q], False, True),
    ],
)
def test_the_policy_for_overlaps_admits_puts_off_or_drops(
    overlap, busy, queued, outcomes, cancel, replace
):
    found = apply_overlap([a_due(1), a_due(2), a_due(3)], overlap, busy=busy, queued=queued)
    assert [one.outcome for one in found.results] == outcomes
    assert (found.cancel, found.replace) == (cancel, replace)


def test_nothing_due_cancels_nothing():
    assert not apply_overlap([], Overlap.CANCEL, busy=True, queued=True).cancel


def a_document(schedule, **policies):
    return {
        "document": {
            "dsl": "1.0.3",
            "namespace": "shop",
            "name": "report",
            "version": "1.0.0",
            "metadata": {"schedule": policies},
        },
        "schedule": schedule,
        "do": [{"note": {"set": {"seen": True}}}],
    }


def test_the_schedules_of_a_document_with_its_policies():
    import json

    given = a_document(
        {"every": {"minutes": 5}, "cron": "@Daily", "after": "PT1.5S",
         "on": {"one": {"with": {"type": "ping"}}}},
        timezone="Europe/Berlin", misfire="all", cap=7, grace="PT1M", overlap="queue",
        jitter={"seconds": 3}, daylightSaving={"missing": "skip", "repeated": "both"},
        input={"day": "${ .due }"},
    )  # fmt: skip
    found = plans(load(json.dumps(given), "application/json").document)
    assert [(plan.kind, plan.timing) for plan in found] == [
        (ScheduleKind.EVERY, {"every": 300.0}),
        (ScheduleKind.CRON, {"cron": "0 0 * * *"}),
        (ScheduleKind.AFTER, {"after": 1.5}),
        (ScheduleKind.ON, {"on": {"one": {"with": {"type": "ping"}}}}),
    ]
    assert {plan.policy.input["day"] for plan in found} == {"${ .due }"}
    policy = replace(found[0].policy, input=None)
    assert policy == SchedulePolicy(
        ZoneInfo("Europe/Berlin"), Missing.SKIP, Repeated.BOTH, Misfire.ALL, 7, 60.0,
        Overlap.QUEUE, 3.0,
    )  # fmt: skip
    assert isinstance(found[1].recurrence(NOON), Cron)
    assert found[2].recurrence(NOON) is None


def test_a_document_without_policies_has_the_defaults_and_one_without_schedule_has_none():
    given = a_document({"every": {"minutes": 5}})
    del given["document"]["metadata"]
    assert [plan.policy for plan in plans(given)] == [POLICY]
    del given["schedule"]
    assert plans(given) == ()


def test_a_policy_that_is_an_expression_is_refused():
    with pytest.raises(InvalidDocument) as refused:
        plans(a_document({"every": {"minutes": 5}}, jitter="${ .jitter }"))
    assert refused.value.problems[0].pointer == "/document/metadata/schedule/jitter"


def test_the_input_is_filled_in():
    given = {"day": "${ .due }", "all": ["${.reason}", "due ${ .due }", 1], "own": "${ .other }"}
    values = {"due": "2026-05-01T12:00:00Z", "local": None, "schedule": "s", "reason": "schedule"}
    assert fill(given, values) == {
        "day": "2026-05-01T12:00:00Z",
        "all": ["schedule", "due ${ .due }", 1],
        "own": "${ .other }",
    }


def test_schedules_are_held_to_the_shortest_pause():
    given = a_document({"every": {"milliseconds": 10}, "after": "PT0S", "cron": "* * * * * *"})
    found = {plan.kind: plan.timing for plan in plans(given, 1.5)}
    assert found[ScheduleKind.EVERY] == {"every": 1.5}
    assert found[ScheduleKind.AFTER] == {"after": 1.5}
    assert found[ScheduleKind.CRON] == {"cron": "* * * * * *"}
