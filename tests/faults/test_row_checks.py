"""The checks of each row can fail: each is given what must not pass."""

from __future__ import annotations

import base64
import json
import pickle
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults import fault_run, matrix
from tests.faults.fault_run import Outcome
from tests.faults.rows import ROWS, Row, brokers, databases, machines, processes, steps
from tests.faults.rows.brokers import CANARY, pickled


class Seen(SimpleNamespace):
    """What a judge looks at, without servers: each statement is answered by the next rows."""

    def __init__(self, *answers: Any, **more: Any) -> None:
        fine = {"told": {}, "took": [], "notes": {}, "killed": {}, "seen": 0, "lines": []}
        super().__init__(**{**fine, **more})
        self.answers = list(answers)

    def sql(self, *_: Any) -> Any:
        return self.answers.pop(0)

    def effects(self) -> list[dict[str, Any]]:
        return self.lines


def judged(judge: Any, *answers: Any, **more: Any) -> dict[str, Any]:
    ground: Any = Seen(*answers, **more)
    return dict(judge(ground, Outcome("row")))


# -- what is asked of every row --------------------------------------------------------------


def row(**more: Any) -> Row:
    return Row("row", lambda *_: None, 40, 50, (0.0, 0.0), **more)


def ask_every_row(
    asked: Row | None = None,
    *,
    struck: int = 9,
    meanwhile: int = 9,
    error: Any = None,
    **found: Any,
) -> dict[str, Any]:
    """The problems of a row in which all went well but for what is given."""
    fine = {"missing": 0, "problems": {}, "stale": 1, "continued": 5, **found}
    ground: Any = Seen(
        [],
        told={"a": ("completed", "none")},
        missing=lambda: fine["missing"],
        problems=lambda: dict(fine["problems"]),
        continued=lambda: fine["continued"],
        logged=lambda action: fine["stale"],
        said=lambda action: [],
        stack=SimpleNamespace(settings={"lease": 10}, logs=lambda _: "the end of a log"),
    )
    outcome = Outcome("row", meanwhile=meanwhile)
    striker: Any = SimpleNamespace(struck=struck, error=error)
    fault_run._judge(outcome, ground, asked or row(), striker)
    return outcome.problems


def test_a_row_in_which_all_went_well_has_no_problems():
    assert ask_every_row() == {}
    assert ask_every_row(row(stale=True)) == {}


def test_a_fault_that_did_not_strike_fails_the_row():
    assert ask_every_row(struck=0) == {"the fault did not strike often enough": 0}
    assert ask_every_row(struck=fault_run.LEAST_STRIKES - 1)
    assert ask_every_row(struck=fault_run.LEAST_STRIKES) == {}


def test_a_fault_that_failed_itself_fails_the_row():
    assert list(ask_every_row(error=OSError("no"))) == ["the fault itself failed"]


def test_a_row_in_which_nothing_went_on_fails():
    assert ask_every_row(meanwhile=0) == {"nothing went on meanwhile": 0}


def test_a_row_that_must_refuse_something_stale_and_did_not_fails():
    assert ask_every_row(row(stale=True), stale=0) == {"no stale result was refused": 0}
    assert any(one.stale for one in ROWS)


def test_what_did_not_end_fails_the_row():
    assert list(ask_every_row(missing=2)) == ["not ended", "why"]


def test_what_the_audit_finds_fails_the_row():
    assert ask_every_row(problems={"I9 a pause ended early": [1]}) == {
        "I9 a pause ended early": [1]
    }


def test_a_worker_that_continues_though_it_may_not_fails_the_row():
    off = row(ground={"continuation_budget": 0})
    assert ask_every_row(off) == {"continued where no worker may": 5}
    assert ask_every_row(off, continued=0) == {}


def test_a_row_that_kills_workers_is_asked_how_long_it_took():
    assert ask_every_row(row(recovery=12.0)) == {"no step had to recover": 0}


def test_what_its_own_judge_finds_fails_the_row():
    assert ask_every_row(row(judge=lambda *_: {"wrong": 1})) == {"wrong": 1}


def test_rows_are_there_with_continuation_and_without():
    off = {one.name for one in ROWS if not one.continues}
    assert len(off) >= 6
    assert {name.removesuffix("; no continuation") for name in off} < {one.name for one in ROWS}


# -- the rows' own judges --------------------------------------------------------------------

DISK = {"took": [9.0], "notes": {machines.REFUSED: 3}}


@pytest.mark.parametrize(
    ("changed", "met", "found"),
    [
        ({}, True, []),
        ({"took": [9.0, 10.1]}, True, ["not taken again"]),
        ({"notes": {}}, True, ["nobody was answered 503 while it was full"]),
        ({}, False, ["nobody needed room"]),
    ],
)
def test_a_full_disk_is_told_and_forgotten(tmp_path, changed, met, found):
    log = tmp_path / "log"
    log.write_text("ERROR: No space left on device" if met else "all is well")
    postgres = SimpleNamespace(log=log)
    assert list(judged(machines.recovers, postgres=postgres, **{**DISK, **changed})) == found


def digested(folder, *, gained=0, missing=0):
    memory = 50 << 20
    return judged(
        brokers.digested,
        folder=folder,
        seen=memory,
        memory=lambda: memory + gained,
        deploy=lambda body: body,
        start_one=lambda body, end: "id",
        settle=lambda timeout: None,
        missing=lambda: missing,
    )


def test_poison_that_was_run_or_stays_in_the_stomach_fails_the_row(tmp_path):
    assert digested(tmp_path) == {}
    assert list(digested(tmp_path, missing=1)) == ["not serving again"]
    assert list(digested(tmp_path, gained=(100 << 20) + 1)) == ["memory"]
    pickle.loads(base64.b64decode(pickled(tmp_path / CANARY))).close()
    assert list(digested(tmp_path)) == ["a message's code was run"]


def test_a_backup_that_knew_everything_shows_nothing():
    assert judged(machines.forgot, notes={machines.FORGOTTEN: 1}) == {}
    assert judged(machines.forgot) == {"nothing was forgotten": 0}


def test_connections_must_suffer_all_there_is():
    assert judged(databases.suffered, seen=5) == {}
    assert judged(databases.suffered, seen=4) == {"not every kind": 4}


def test_slow_commits_may_not_cost_more_than_a_hundredth():
    assert judged(databases.reclaimed, [], [(1, 100)]) == {}
    assert judged(databases.reclaimed, [], [(2, 100)]) == {"falsely reclaimed": 0.02}


def test_a_broker_is_consumed_again_soon():
    assert judged(brokers.consumes, took=[3.0, 15.0]) == {}
    assert judged(brokers.consumes, took=[15.1, 3.0]) == {"not consuming again": 15.1}


def test_copies_must_have_been_refused():
    assert judged(brokers.refused, logged=lambda _: 1) == {}
    assert judged(brokers.refused, logged=lambda _: 0) == {"no copy was refused": 0}


def test_a_late_timer_fails_the_row():
    assert judged(processes.lateness, [(0.1,), (7.0,)]) == {}
    assert judged(processes.lateness, [(0.1,), (7.1,)]) == {"a timer was late": [0.1, 7.1]}


def test_an_end_in_order_is_quick_and_runs_nothing_again():
    assert judged(processes.in_order, [], took=[12.0]) == {}
    assert judged(processes.in_order, [("id",)], took=[12.1]) == {
        "a step ran again": [("id",)],
        "an exit took too long": 12.1,
    }


def test_a_step_that_kills_is_started_as_often_as_it_may_and_buried():
    assert judged(steps.buried, [(3, 1)], [(1.0,)], [(2.0,)]) == {}
    assert judged(steps.buried, [(2, 1), (3, 0)], [(1.0,)], [(2.1,)]) == {
        "not exactly its starts": [(2, 1)],
        "not exactly one dead letter": [(3, 0)],
        "others were slowed down": (1.0, 2.1),
    }


def answer(status: int, body: Any) -> Any:
    text = json.dumps(body)
    return SimpleNamespace(
        status_code=status, text=text, content=text.encode(), json=lambda: json.loads(text)
    )


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (200, {"error": {"type": "data"}}, []),
        (500, {"error": {"type": "data"}}, ["can't be read"]),
        (200, {"error": {"type": "data"}, "output": "x" * 100_000}, ["can't be read"]),
        (200, {"error": None}, ["no error is told"]),
    ],
)
def test_an_instance_with_too_large_an_output_can_be_read(status, body, found):
    client = SimpleNamespace(get=lambda _: answer(status, body))
    assert list(judged(steps.readable, told={"id": steps.FAULTED}, client=client)) == found


def test_the_slot_of_a_hung_step_is_free_again():
    assert judged(steps.freed, [(steps.HANGS + 5.0,)]) == {}
    assert judged(steps.freed, [(steps.HANGS + 5.5,)]) == {"a slot was not free": [5.5]}
    assert judged(steps.freed, []) == {"no slot was used again": 0}


def test_each_ends_on_its_version_and_both_codes_ran():
    lines = [{"code": "1"}, {"code": "2"}]
    assert judged(steps.on_their_version, [], lines=lines) == {}
    assert list(judged(steps.on_their_version, [("id",)], lines=lines[:1])) == [
        "on another version",
        "only one release of the code ran",
    ]


def test_clocks_must_have_been_wrong():
    assert judged(machines.stepped, lines=[{"at": 3600.0, "true": 0.0}]) == {}
    assert list(judged(machines.stepped, lines=[{"at": 37.0, "true": 0.0}])) == [
        "no clock was ever wrong"
    ]


def test_a_crowd_is_forgotten_soon():
    assert judged(machines.quick, took=[5.0]) == {}
    assert judged(machines.quick, took=[5.1]) == {"not normal again": 5.1}


# -- the time of a run -----------------------------------------------------------------------


def test_a_whole_run_keeps_ten_minutes_for_the_soak(monkeypatch):
    monkeypatch.setattr("tests.faults.matrix.time.monotonic", lambda: 1_000.0)
    # Whatever this machine has: rows without RabbitMQ or a C compiler are left out.
    rows = [replace(one, absent=lambda: None) for one in ROWS]
    shares = [matrix._share(rows[n:], True, 4_000.0, 600.0) for n in range(len(rows))]
    (soak,) = (n for n, one in enumerate(rows) if one.whole is not None)
    assert shares[soak] == 600.0
    weights = sum(one.weight for one in rows if one.whole is None)
    assert shares[0] == pytest.approx((3_000 - 600) * rows[0].weight / weights)
    assert matrix._share(rows, False, 4_000.0, 600.0) > shares[0]
    assert matrix._why_not(rows[soak], full=False)


def test_the_time_of_a_row_that_cannot_run_here_is_the_others(monkeypatch):
    monkeypatch.setattr("tests.faults.matrix.time.monotonic", lambda: 1_000.0)
    present = [replace(one, absent=lambda: None) for one in ROWS]
    without = [*present[:-1], replace(present[-1], absent=lambda: "no RabbitMQ")]
    assert without[-1].whole is None
    more = matrix._share(without, False, 4_000.0, 600.0)
    assert more > matrix._share(present, False, 4_000.0, 600.0)
