"""Durations of the DSL as time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.document.durations import MAX_DURATION, InvalidDuration, duration, seconds


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("PT5S", timedelta(seconds=5)),
        ("PT0.25S", timedelta(milliseconds=250)),
        ("PT1.5H", timedelta(minutes=90)),
        ("P1D", timedelta(days=1)),
        ("P2W", timedelta(days=14)),
        ("P1M", timedelta(days=30)),
        ("PT1M", timedelta(minutes=1)),
        ("P1Y", timedelta(days=365)),
        ("P1Y2M3W4DT5H6M7.5S", timedelta(days=450, hours=5, minutes=6, seconds=7.5)),
        ("P0D", timedelta(0)),
        ("PT0.0000001S", timedelta(0)),
        ("P" + "0" * 1000 + "1D", timedelta(days=1)),
        ("P100Y", MAX_DURATION),
        ({"seconds": 5}, timedelta(seconds=5)),
        ({"days": 1, "hours": 2, "minutes": 3, "seconds": 4, "milliseconds": 5},
         timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5)),
        ({"seconds": 2.0}, timedelta(seconds=2)),
        ({"seconds": 0}, timedelta(0)),
    ],
)  # fmt: skip
def test_durations(value: object, expected: timedelta):
    assert duration(value) == expected
    assert seconds(value) == expected.total_seconds()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "'' is not a duration of ISO 8601"),
        ("P", "'P' is not a duration"),
        ("PT", "'PT' is not a duration"),
        ("P1DT", "'P1DT' is not a duration"),
        ("P1S", "'P1S' is not a duration"),
        ("-P1D", "'-P1D' is not a duration"),
        ("P-1D", "'P-1D' is not a duration"),
        ("PT1S\n", "is not a duration"),
        ("P\u0661D", "is not a duration"),
        ("5 minutes", "'5 minutes' is not a duration"),
        ("P" + "9" * 1_000_000 + "D", "longer than 100 years"),
        ("P9999Y", "longer than 100 years"),
        ("P100YT1S", "longer than 100 years"),
        ({"days": 10**4000}, "longer than 100 years"),
        ({"seconds": -1}, "cannot be negative"),
        ({"days": 1, "seconds": -1}, "cannot be negative"),
        ({}, "an empty mapping is not a duration"),
        ({"weeks": 1}, "'weeks' is not a unit of time"),
        ({"seconds": 1.5}, "seconds must be a whole number"),
        ({"seconds": True}, "seconds must be a whole number"),
        ({"seconds": "1"}, "seconds must be a whole number"),
        ({"seconds": float("nan")}, "seconds must be a whole number"),
        ({"seconds": float("inf")}, "seconds must be a whole number"),
        (5, "int is not a duration"),
        (None, "NoneType is not a duration"),
    ],
)
def test_what_is_no_duration(value: object, message: str):
    with pytest.raises(InvalidDuration) as caught:
        duration(value)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 150


@given(st.integers(0, 10**6), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59_999))
def test_both_forms_agree(days: int, hours: int, minutes: int, milliseconds: int):
    units = {"days": days % 36_000, "hours": hours, "minutes": minutes,
             "milliseconds": milliseconds}  # fmt: skip
    text = f"P{days % 36_000}DT{hours}H{minutes}M{milliseconds // 1000}.{milliseconds % 1000:03}S"
    assert duration(text) == duration(units)
