"""What judges the runs under fire can turn red: each is shown what must not pass."""

from __future__ import annotations

import base64
import pickle
import socket
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from orchestrator.core.engine_version import ENGINE
from tests.faults import recovery_times, report
from tests.faults.fault_run import NO_TIME, Outcome
from tests.faults.fault_stack import Ground
from tests.faults.recovery_times import Loss, Recoveries, recoveries
from tests.faults.rows import ROWS, upgrades
from tests.faults.rows.brokers import pickled
from tests.faults.rows.databases import answers
from tests.faults.rows.machines import judge_crowd
from tests.faults.rows.processes import RECOVERY
from tests.faults.rows.soak import judge as judge_slopes
from tests.faults.rows.webhooks import judge as judge_webhooks
from tests.faults.run_parts import judge_replay, judge_simulation

LEASE = 10.0
MB = 1 << 20


# -- recovery --------------------------------------------------------------------------------


def test_a_slow_recovery_is_no_second_strike_because_another_one_died():
    slow = Loss(died=0.0, told=10.5, claimed=15.0, publish_count=1)
    found = recoveries([slow], [0.0, 3.0, 11.0, 14.0], LEASE)
    assert found == Recoveries(once=[15.0], again=[])
    assert "recovery p99" in recovery_times.problems(found, RECOVERY, LEASE)


@pytest.mark.parametrize(
    ("loss", "others", "again"),
    [
        (Loss(0.0, 10.5, 15.0, 2), [11.0], True),  # the message went to one that died
        (Loss(0.0, 10.5, 15.0, 2), [5.0], False),  # sent twice, and nobody took it
        (Loss(0.0, 10.5, 15.0, 2), [], False),
        (Loss(0.0, 13.0, 13.5, 1), [10.2], True),  # the hint of the loss did
        (Loss(0.0, 13.0, 13.5, 1), [], False),  # told late, and nobody died
        (Loss(0.0, 13.0, 13.5, 1), [13.2], False),
    ],
)
def test_what_is_struck_again(loss, others, again):
    found = recoveries([loss], [0.0, *others], LEASE)
    assert (len(found.once), len(found.again)) == ((0, 1) if again else (1, 0))


def test_what_is_struck_again_is_measured_from_its_own_death_and_bounded():
    found = recoveries([Loss(0.0, 10.5, 31.0, 3)], [0.0, 12.0, 30.0], LEASE)
    assert found.again == [31.0]
    fast = Recoveries(once=[11.0] * 20, again=found.again)
    assert recovery_times.problems(fast, RECOVERY, LEASE) == {
        "recovery of what was struck again": 31.0
    }


def test_not_too_many_may_be_struck_again():
    just = Recoveries(once=[11.0] * 20, again=[15.0] * 10)
    assert recovery_times.problems(just, RECOVERY, LEASE) == {}
    assert recovery_times.measured(just)["struck_again_share"] == 0.33
    more = Recoveries(once=[11.0] * 20, again=[15.0] * 11)
    assert list(recovery_times.problems(more, RECOVERY, LEASE)) == [
        "too many are said to be struck again"
    ]


def test_a_row_says_where_the_time_of_its_slowest_recovery_went():
    losses = [Loss(0.0, 11.5, 12.25, 1), Loss(0.0, 10.0, 10.5, 1)]
    found = replace(recoveries(losses, [0.0], LEASE), watchdog=1.25)
    assert recovery_times.measured(found) == {
        "slowest_till_recorded_s": 11.5,
        "slowest_till_claimed_s": 0.75,
        "watchdog_late_s": 1.25,
    }
    assert recovery_times.measured(Recoveries()) == {}


def test_no_recovery_at_all_is_no_quick_one():
    assert recovery_times.problems(Recoveries(), RECOVERY, LEASE)


# -- hangs -----------------------------------------------------------------------------------


def test_a_client_that_gave_up_waiting_fails_the_row():
    ground: Any = SimpleNamespace(slowest_answer=0.1, hung=1, unavailable=1)
    assert answers(ground, Outcome("row")) == {"never answered": 1}
    ground = SimpleNamespace(slowest_answer=3.5, hung=0, unavailable=1)
    assert answers(ground, Outcome("row")) == {"an answer took too long": 3.5}
    ground = SimpleNamespace(slowest_answer=0.1, hung=0, unavailable=0)
    assert answers(ground, Outcome("row")) == {"nobody was answered 503": 0}


def test_a_request_that_is_never_answered_is_noted():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        ground = object.__new__(Ground)  # its client only: no servers stand behind it
        ground.client = httpx2.Client(base_url=url, timeout=0.5)
        ground.slowest_answer, ground.hung, ground.refused, ground.unavailable = 0.0, 0, 0, 0
        thread = threading.Thread(target=_hang_then_answer, args=(server,))
        thread.start()
        assert ground._ask("POST", "/", {}, None, (200,)) == {}
        thread.join()
        ground.client.close()
    assert (ground.hung, ground.refused, ground.unavailable) == (1, 2, 1)
    assert ground.slowest_answer >= 0.5


def _hang_then_answer(server: socket.socket) -> None:
    hung, _ = server.accept()
    for status in ("503 Unavailable", "200 OK"):
        one, _ = server.accept()
        with one:
            one.recv(65536)
            head = f"HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n"
            one.sendall(head.encode() + b"{}")
    hung.close()


def test_a_crowd_that_is_refused_learns_it_at_once():
    assert judge_crowd([(200, 6.0), (503, 3.2)])[1] == {}
    assert judge_crowd([(200, 0.1), (503, 6.0)])[1] == {"a refusal took too long": 6.0}
    assert judge_crowd([(200, 11.0)])[1] == {"an answer took too long": 11.0}
    assert judge_crowd([(500, 0.1)])[1] == {"answers": {500: 1}}


def test_events_that_do_not_arrive_or_not_in_order():
    taken = {"a": [0, 1, 2], "b": [0, 2, 1], "c": [0, 2]}
    assert judge_webhooks(["a"], taken, 1) == {}
    assert judge_webhooks(["a", "b", "c", "d"], taken, 0) == {
        "I11 events that did not arrive": [2, ("c", [0, 2]), ("d", [])],
        "I11 events out of order": [1, ("b", [0, 2, 1])],
        "no message was refused": 0,
    }


# -- the upgrade -----------------------------------------------------------------------------

OLD, NEW = ENGINE, upgrades.NEXT
#: The release's engine, the instance's, and whether it was after the schema's upgrade.
RUNS = [(OLD, OLD, False), (NEW, OLD, False), (OLD, OLD, True), (NEW, NEW, True)]
UPGRADED = [(upgrades.SCHEMA,)]


def test_an_upgrade_is_run_by_both_releases_on_both_schemas():
    judge = upgrades.judge
    assert judge(RUNS, {OLD: 1, NEW: 1}, UPGRADED) == {}
    assert list(judge([*RUNS, (OLD, NEW, True)], {OLD: 1, NEW: 1}, UPGRADED)) == [
        "a release ran what it does not know"
    ]
    assert list(judge(RUNS[:2], {OLD: 1, NEW: 1}, UPGRADED)) == [
        "the release before ran nothing on the next one's schema"
    ]
    assert list(judge(RUNS[2:], {OLD: 1}, [("0001",)])) == [
        "the next release ran nothing on the schema before",
        "not started by both",
        "the schema",
    ]


# -- memory ----------------------------------------------------------------------------------


def test_the_memory_of_too_few_steps_is_not_judged_to_be_well():
    few = {"worker": [(n * 1000, 50 * MB) for n in range(10)], "api": []}
    assert list(judge_slopes(few)[1]) == [
        "too few steps to judge the worker",
        "too few steps to judge the api",
    ]


def test_memory_that_grows_is_found():
    steps = range(0, 20_001, 500)
    flat = [(n, 50 * MB) for n in steps]
    grows = [(n, 50 * MB + n * 6 * MB // 10_000) for n in steps]
    assert judge_slopes({"worker": flat, "api": flat})[1] == {}
    measured, problems = judge_slopes({"worker": flat, "api": grows})
    assert list(problems) == ["the api grows"]
    assert measured["api_mb_a_10000"] == pytest.approx(6.0, abs=0.1)


# -- the whole run ---------------------------------------------------------------------------

CHILD = "kill -9 of a worker's child"


def _figures(minutes=55, *, everything=True, **changed):
    fine = {"workflows": 10_000, "strikes": 1_000, "continued": 1, "recovery": [11.0] * 200}
    outcome = Outcome(CHILD, **{**fine, **changed})
    return report.figures([outcome], {}, ROWS, minutes=minutes, seed=1, everything=everything)


def test_a_whole_run_that_comes_to_its_figures_passes():
    found = _figures()
    assert (found["passed"], found["falls_short"]) == (True, [])


@pytest.mark.parametrize(
    "changed",
    [
        {"workflows": 9_999},
        {"strikes": 999},
        {"lost": 1},
        {"doubled": 1},
        {"continued": 0},
        {"recovery": [12.5] * 200},
        {"recovery": []},
    ],
)
def test_a_whole_run_that_falls_short_fails_and_says_why(changed):
    found = _figures(**changed)
    assert not found["passed"]
    assert len(found["falls_short"]) == 1
    assert "falls short" in dict(report.sums(found))
    assert not _figures(0, **changed)["passed"]  # no bound is a whole run, too


def test_a_whole_run_has_time_for_every_row():
    fine = Outcome(CHILD, workflows=10_000, strikes=1_000, continued=1, recovery=[11.0] * 200)
    left = Outcome("FLUSHALL", not_run=NO_TIME)
    found = report.figures([fine, left], {}, ROWS, minutes=50, seed=1, everything=True)
    assert found["falls_short"] == ["no time was left for FLUSHALL"]
    assert not found["passed"]


def test_a_short_run_or_one_of_a_few_rows_need_not_come_to_them():
    assert _figures(15, workflows=100)["passed"]
    assert _figures(everything=False, workflows=100)["passed"]


SIMULATED = {
    "schedules": 5_000,
    "failed": [],
    "stale_refused": 9,
    "actions_median": 40,
    "faults_median": 3,
    "pairs_share": 0.95,
    "continued": 1,
}


@pytest.mark.parametrize(
    "changed",
    [
        {"schedules": 0},
        {"failed": [7]},
        {"stale_refused": 0},
        {"actions_median": 39},
        {"faults_median": 2},
        {"pairs_share": 0.94},
        {"continued": 0},
    ],
)
def test_a_simulation_that_tried_too_little_fails(changed):
    assert judge_simulation(SIMULATED)["passed"]
    judged = judge_simulation({**SIMULATED, **changed})
    assert not judged["passed"]
    assert len(judged["problems"]) == 1


def test_a_simulation_must_continue_as_it_was_told_to():
    assert judge_simulation({**SIMULATED, "pairs_share": 0.5}, "on")["passed"]
    assert not judge_simulation(SIMULATED, "off")["passed"]
    assert judge_simulation({**SIMULATED, "continued": 0}, "off")["passed"]
    assert not judge_simulation({**SIMULATED, "continued": 0}, "on")["passed"]


def test_a_simulation_that_wrote_no_figures_fails():
    assert not judge_simulation({"exit": 1})["passed"]
    assert not judge_replay({"exit": 1}, whole=False)["passed"]


def test_few_schedules_need_not_reach_every_pair():
    assert judge_simulation({**SIMULATED, "schedules": 3_999, "pairs_share": 0.5})["passed"]


def test_a_replay_of_fewer_traces_passes_only_in_a_shortened_run():
    few = {"traces": 499, "failed": []}
    assert not judge_replay(few, whole=True)["passed"]
    assert judge_replay(few, whole=False) == {
        **few,
        "traces_wanted": 500,
        "problems": [],
        "passed": True,
    }
    assert not judge_replay({"traces": 500, "failed": [3]}, whole=True)["passed"]
    assert not judge_replay({"traces": 0, "failed": []}, whole=False)["passed"]


# -- poison ----------------------------------------------------------------------------------


def test_the_poison_would_make_its_file(tmp_path):
    file = tmp_path / "canary"
    pickle.loads(base64.b64decode(pickled(file))).close()
    assert file.exists()
