"""Cron in time zones, against independent implementations: a scan of every minute, croniter on
a calendar without changes, and cronsim's own rule for daylight saving."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter  # type: ignore[import-untyped]  # it has no types
from cronsim import CronSim
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.scheduler.schedules.cron import Cron, InvalidCron, Missing, Repeated
from orchestrator.scheduler.schedules.recurrence import following, preceding
from tests.support.examples import examples

MINUTE = timedelta(minutes=1)

#: Zones with what is special about their changes, and a day near each change.
#: A whole day, minute by minute.
LONG = pytest.mark.slow

CHANGES = [
    pytest.param("Europe/Berlin", "2026-03-29", id="Berlin-forward"),
    pytest.param("Europe/Berlin", "2026-10-25", id="Berlin-back"),
    pytest.param("America/New_York", "2026-03-08", id="New_York-forward"),
    pytest.param("America/New_York", "2026-11-01", id="New_York-back"),
    pytest.param("Australia/Lord_Howe", "2026-10-04", id="Lord_Howe-forward-by-30-minutes"),
    pytest.param("Australia/Lord_Howe", "2026-04-05", id="Lord_Howe-back-by-30-minutes"),
    pytest.param("America/Santiago", "2026-09-06", id="Santiago-forward-at-midnight"),
    pytest.param("America/Santiago", "2026-04-05", id="Santiago-back-at-midnight"),
    pytest.param("Antarctica/Troll", "2026-03-29", id="Troll-forward-by-2-hours"),
    pytest.param("Antarctica/Troll", "2026-10-25", id="Troll-back-by-2-hours"),
    pytest.param("Europe/Dublin", "2026-03-29", id="Dublin-negative-saving-ends"),
    pytest.param("Europe/Dublin", "2026-10-25", id="Dublin-negative-saving-begins"),
    pytest.param("Pacific/Apia", "2011-12-30", id="Apia-a-day-jumped-over", marks=LONG),
    pytest.param("America/Juneau", "1867-10-18", id="Juneau-a-day-twice", marks=LONG),
]

EXPRESSIONS = [
    "* * * * *",
    "*/20 * * * *",
    "0 * * * *",
    "15,45 * * * *",
    "*/15 2 * * *",
    "30 2 * * *",
    "0,30 1-3 * * *",
    "59 23 * * *",
    "0 0 * * *",
    "0 3 * * *",
    "5 0 * * 0",
    "10 1 29-31 * *",
]


def values(field: str, low: int, high: int) -> set[int]:
    """The values of one field, read as simply as can be."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


@cache
def fields(expression: str) -> tuple[set[int], ...]:
    bounds = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    return tuple(
        values(field, *bound) for field, bound in zip(expression.split(), bounds, strict=True)
    )


def matching(expression: str, wall: datetime) -> bool:
    minutes, hours, days, months, weekdays = fields(expression)
    return (
        wall.minute in minutes
        and wall.hour in hours
        and wall.day in days
        and wall.month in months
        and wall.isoweekday() % 7 in weekdays
    )


@cache
def walls(name: str, begin: datetime, minutes: int):
    """What the clock shows each minute: (instant, wall, whether it shows it twice, whether for
    the second time, the walls that it has just jumped over)."""
    zone, seen = ZoneInfo(name), []
    before = (begin - MINUTE).astimezone(zone).replace(tzinfo=None, fold=0)
    for number in range(minutes):
        local = (begin + number * MINUTE).astimezone(zone)
        wall, instant = local.replace(tzinfo=None, fold=0), local.astimezone(UTC)
        other = wall.replace(tzinfo=zone, fold=1 - local.fold).astimezone(UTC)
        jumped = [before + n * MINUTE for n in range(1, max(1, (wall - before) // MINUTE))]
        seen.append((instant, wall, other != instant, bool(local.fold), jumped))
        before = wall
    return seen


def scan(expression: str, name: str, missing, repeated, begin, minutes: int):
    """Every due minute of a stretch, by the rules read out aloud, minute by minute."""
    due = []
    for instant, wall, twice, second, jumped in walls(name, begin, minutes):
        counts = not twice or repeated is Repeated.BOTH or second == (repeated is Repeated.LAST)
        made_up = missing is Missing.RUN and any(matching(expression, one) for one in jumped)
        if (counts and matching(expression, wall)) or made_up:
            due.append(instant)
    return due


def around_the_change(zone: ZoneInfo, day: str) -> tuple[datetime, int]:
    """Some hours before the clock's change on that day, and the minutes until well after it."""
    hours = [
        (datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(hours=n)).astimezone(zone)
        for n in range(-26, 26)
    ]
    change = next(b for a, b in pairwise(hours) if a.utcoffset() != b.utcoffset())
    offsets = [hour.utcoffset() or timedelta() for hour in (hours[0], hours[-1])]
    width = max(offsets) - min(offsets) + timedelta(hours=3)
    begin = change.astimezone(UTC) - width
    # Local mean time has seconds: what is due there is not due at a whole minute of UTC.
    begin += timedelta(seconds=-offsets[0].total_seconds() % 60)
    return begin, 2 * width // MINUTE


@pytest.mark.parametrize("repeated", list(Repeated))
@pytest.mark.parametrize("missing", list(Missing))
@pytest.mark.parametrize(("name", "day"), CHANGES)
def test_every_minute_around_a_change_of_the_clock(name, day, missing, repeated):
    zone = ZoneInfo(name)
    begin, minutes = around_the_change(zone, day)
    end = begin + minutes * MINUTE
    for expression in EXPRESSIONS:
        cron = Cron.of(expression, zone, missing, repeated)
        expected = scan(expression, name, missing, repeated, begin, minutes)
        times = following(cron, begin - timedelta(microseconds=1))
        assert list(islice(times, len(expected))) == expected, expression
        times = preceding(cron, end - MINUTE)
        assert list(islice(times, len(expected))) == expected[::-1], expression


def test_a_clock_that_jumps_over_a_time_runs_it_once_at_the_end_of_the_jump():
    cron = Cron.of("0,30 2 * * *", ZoneInfo("Europe/Berlin"))
    found = list(islice(following(cron, datetime(2026, 3, 28, 12, tzinfo=UTC)), 3))
    assert [at.isoformat() for at in found] == [
        "2026-03-29T01:00:00+00:00",
        "2026-03-30T00:00:00+00:00",
        "2026-03-30T00:30:00+00:00",
    ]


def test_a_clock_that_shows_a_time_twice_runs_a_daily_job_once_and_a_frequent_one_all_the_time():
    zone, before = ZoneInfo("Europe/Berlin"), datetime(2026, 10, 24, 22, tzinfo=UTC)
    daily = Cron.of("30 2 * * *", zone)
    assert [at.isoformat() for at in islice(following(daily, before), 2)] == [
        "2026-10-25T00:30:00+00:00",
        "2026-10-26T01:30:00+00:00",
    ]
    frequent = Cron.of("*/30 * * * *", zone)
    found = list(islice(following(frequent, before), 10))
    assert {b - a for a, b in pairwise(found)} == {30 * MINUTE}


@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("0 12 29 2 *", ["2024-02-29", "2028-02-29", "2032-02-29"]),
        ("0 12 L 2 *", ["2024-02-29", "2025-02-28", "2026-02-28"]),
        ("0 12 L * *", ["2024-01-31", "2024-02-29", "2024-03-31"]),
        ("0 12 LW * *", ["2024-01-31", "2024-02-29", "2024-03-29"]),
        ("0 12 31 * *", ["2024-01-31", "2024-03-31", "2024-05-31"]),
        ("0 12 30 * *", ["2024-01-30", "2024-03-30", "2024-04-30"]),
        ("0 12 * * 5L", ["2024-01-26", "2024-02-23", "2024-03-29"]),
        ("0 12 * * MON#5", ["2024-01-29", "2024-04-29", "2024-07-29"]),
        ("0 12 13 * FRI", ["2024-01-05", "2024-01-12", "2024-01-13"]),
    ],
)
def test_leap_days_and_ends_of_months(expression, days):
    cron = Cron.of(expression, ZoneInfo("UTC"))
    found = islice(following(cron, datetime(2024, 1, 1, tzinfo=UTC)), len(days))
    assert [at.date().isoformat() for at in found] == days


def test_the_leap_day_of_1900_and_2100_is_none():
    cron = Cron.of("0 0 29 2 *", ZoneInfo("UTC"))
    assert cron.after(datetime(2096, 3, 1, tzinfo=UTC)) == datetime(2104, 2, 29, tzinfo=UTC)
    assert cron.until(datetime(1904, 2, 28, tzinfo=UTC)) == datetime(1896, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "61 * * * *", "0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "x * * * *",
                   "* * * * * * 2026", "0 0 * * MON#6", "*/0 * * * *", "@reboot"]
)  # fmt: skip
def test_an_expression_that_cannot_be_kept_is_refused(expression):
    with pytest.raises(InvalidCron):
        Cron.of(expression, ZoneInfo("UTC"))


def test_names_for_common_expressions():
    at = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
    due = {name: Cron.of(name, ZoneInfo("UTC")).after(at) for name in ("@hourly", "@DAILY")}
    assert due == {
        "@hourly": datetime(2026, 1, 1, 1, tzinfo=UTC),
        "@DAILY": datetime(2026, 1, 2, tzinfo=UTC),
    }


def a_field(low: int, high: int):
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        number.map(str),
        # Not of one number alone, which croniter takes for all of them.
        st.tuples(number, number)
        .filter(lambda pair: pair[0] < pair[1])
        .map(lambda pair: "{}-{}".format(*pair)),
        st.lists(number, min_size=2, max_size=4, unique=True).map(
            lambda many: ",".join(map(str, sorted(many)))
        ),
        st.integers(2, 20).map(lambda step: f"*/{step}"),
    )


TIMES = st.integers(366 * 86400, 67 * 365 * 86400).map(lambda at: datetime.fromtimestamp(at, UTC))
ZONES = st.sampled_from(
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago",
     "Africa/Casablanca", "Asia/Tehran", "Asia/Kathmandu", "Antarctica/Troll", "UTC"]
)  # fmt: skip


@pytest.mark.examples
@settings(max_examples=examples(300), deadline=None)
@given(a_field(0, 59), a_field(0, 23), ZONES, TIMES)
@example("30", "2", "Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC))
@example("*/30", "2", "Europe/Berlin", datetime(2026, 10, 24, 12, tzinfo=UTC))
def test_the_usual_rule_is_that_of_debian_as_cronsim_has_it(minute, hour, name, time):
    zone, expression = ZoneInfo(name), f"{minute} {hour} * * *"
    theirs = [at.astimezone(UTC) for at in islice(CronSim(expression, time.astimezone(zone)), 6)]
    ours = list(islice(following(Cron.of(expression, zone), time), 6))
    assert ours == theirs


@pytest.mark.examples
@settings(max_examples=examples(300), deadline=None)
@given(a_field(0, 59), a_field(0, 23), a_field(1, 28), a_field(1, 12), a_field(0, 6), TIMES)
def test_without_changes_of_the_clock_it_is_as_croniter_has_it(
    minute, hour, day, month, weekday, time
):
    if "*/" in day or "*/" in weekday:
        weekday = "*"  # whether both must match then is a matter of taste
    expression = f"{minute} {hour} {day} {month} {weekday}"
    theirs = croniter(expression, time)
    ours = islice(following(Cron.of(expression, ZoneInfo("UTC")), time), 5)
    assert [theirs.get_next(datetime) for _ in range(5)] == list(ours)


@pytest.mark.examples
@settings(max_examples=examples(200), deadline=None)
@given(
    a_field(0, 59), a_field(0, 23), ZONES, TIMES,
    st.sampled_from(list(Missing)), st.sampled_from(list(Repeated)),
)  # fmt: skip
def test_backward_is_forward_read_from_the_end(minute, hour, name, time, missing, repeated):
    cron = Cron.of(f"{minute} {hour} * * *", ZoneInfo(name), missing, repeated)
    forward = list(islice(following(cron, time), 8))
    assert forward == sorted(set(forward))
    backward = list(islice(preceding(cron, forward[-1]), 8))
    assert backward == forward[::-1]
    assert cron.until(forward[0] - timedelta(microseconds=1)) != forward[0]


def test_seconds_and_elapsed_time():
    cron = Cron.of("*/20 * * * * *", ZoneInfo("Europe/Berlin"))
    begin = datetime(2026, 10, 25, 0, 59, 50, tzinfo=UTC)
    found = list(islice(following(cron, begin), 200))
    assert {b - a for a, b in pairwise(found)} == {timedelta(seconds=20)}
    assert list(islice(preceding(cron, found[-1]), 200)) == found[::-1]


def test_a_question_mark_is_a_star() -> None:
    assert _days("0 0 ? * MON", 2) == _days("0 0 * * MON", 2)
    assert _days("0 0 0 1 * ? *", 2) == _days("0 0 1 * *", 2)


def test_the_nearest_weekday_is_that_of_every_month() -> None:
    """Against the rule itself: the weekday of the month whose distance is the smallest."""
    for day in (1, 2, 15, 28, 29, 30, 31):
        found = _days(f"0 0 {day}W * *", 60)
        assert found == sorted(found)
        for at in found:
            last = monthrange(at.year, at.month)[1]
            month = [at.replace(day=number) for number in range(1, last + 1)]
            weekdays = [one for one in month if one.weekday() < 5]
            assert at == min(weekdays, key=lambda one: abs(one.day - day))


def test_a_month_without_the_day_is_left_out() -> None:
    assert [at.month for at in _days("0 0 30W * *", 4)] == [1, 3, 4, 5]


def test_the_nearest_weekday_backward() -> None:
    cron = Cron.of("0 0 15W * ?", ZoneInfo("UTC"))
    assert cron.until(datetime(2026, 3, 1, tzinfo=UTC)) == datetime(2026, 2, 16, tzinfo=UTC)


def _days(expression: str, count: int) -> list[datetime]:
    cron = Cron.of(expression, ZoneInfo("UTC"))
    return list(islice(following(cron, datetime(2025, 12, 31, 12, tzinfo=UTC)), count))
