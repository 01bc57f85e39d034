"""Up to where a reader of the feeds may read, by what each look finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.database.events.transition_feed import MAX_CHECKS, PAUSES, PREPARED, Horizon


class Looks:
    """What the looks of a reader find, one after the other; the last one again and again."""

    def __init__(self, *found: tuple[int, Sequence[str]], place: int | None = None) -> None:
        self.found = list(found)
        self.place = place

    def all(self, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        if "feed_positions" in sql:
            return [] if self.place is None else [(self.place,)]
        last, holders = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        return [(last, list(holders))]

    def one(self, sql: str, params: Any = ()) -> tuple[Any, ...] | None:
        rows = self.all(sql, params)
        return rows[0] if rows else None

    def commit_with(self, sql: str, params: Any = (), then: str = "") -> list[tuple[Any, ...]]:
        return self.all(then, params)


def horizon() -> Horizon:
    return Horizon(lambda _: None)


def test_without_holders_everything_that_was_taken_is_decided() -> None:
    assert horizon().decided_position(Looks((7, []))) == 8


def test_what_a_holder_may_have_taken_waits_for_its_end() -> None:
    made = horizon()
    assert made.decided_position(Looks((7, ["1/1"]))) == 0
    assert made.decided_position(Looks((9, ["1/1", "2/1"]))) == 0
    assert made.decided_position(Looks((12, ["2/1"]))) == 8
    assert made.decided_position(Looks((12, ["2/2"]))) == 13


def test_a_reader_looks_again_where_all_holders_may_have_ended_soon() -> None:
    looks = Looks((7, ["1/1"]), (9, ["2/1"]), (9, ["3/1"]))
    assert horizon().decided_position(looks) == 8
    assert len(PAUSES) == 2


def test_a_prepared_transaction_may_be_any_that_was_seen() -> None:
    made = horizon()
    assert made.decided_position(Looks((7, ["1/1"]))) == 0
    assert made.decided_position(Looks((9, [PREPARED]))) == 0
    assert made.decided_position(Looks((9, []))) == 10


def test_a_holder_that_stays_takes_no_memory() -> None:
    made = horizon()
    for last in range(3 * MAX_CHECKS):
        assert made.decided_position(Looks((last, ["1/1"]))) == 0
    assert len(made._looks) == MAX_CHECKS
    assert made.decided_position(Looks((3 * MAX_CHECKS, []))) == 3 * MAX_CHECKS + 1


def test_a_reader_that_begins_waits_for_what_is_on_its_way() -> None:
    looks = Looks((7, ["1/1"]), (8, ["1/1", "2/1"]), (9, ["2/1"]))
    assert horizon().first_position(looks, 1.0) == 8


def test_a_reader_that_waits_in_vain_begins_where_another_was() -> None:
    assert horizon().first_position(Looks((7, ["1/1"]), place=5), 1.0) == 5
    assert horizon().first_position(Looks((7, ["1/1"])), 1.0) == 0


def test_a_sequence_that_went_back_is_followed() -> None:
    """As after a restore, or after the promotion of a replica that lagged."""
    made = horizon()
    assert made.decided_position(Looks((1000, []))) == 1001
    assert made.decided_position(Looks((900, ["1/1"]))) == 0
    assert made.decided_position(Looks((902, []))) == 903
