"""Processes that die, stand still, or are asked to end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import httpx2
import psutil

from orchestrator.embedded.supervisor import Process, ProcessFailed
from tests.faults import recovery_times
from tests.faults.documents import LONG, TIMERS
from tests.faults.fault_stack import Ground
from tests.faults.rows.row import Row

if TYPE_CHECKING:
    from tests.faults.fault_run import Outcome

#: Of a step whose process was killed, with a lease of 10 s.
RECOVERY = 12.0
#: A timer fires so late at most while beats are killed, in s.
LATE = 7.0
GRACE = 10


def child(ground: Ground, random: Random) -> int:
    """kill -9 of a worker's child."""
    found = ground.children()
    with suppress(ProcessLookupError):
        if found:
            _kill(ground, random.choice(found).pid)
            return 1
    return 0


def recovered(ground: Ground) -> bool:
    """Whether a strike met a step, and the step ran again: on a busy machine the first strikes
    meet none."""
    return bool(recovery_times.of_killed(ground).once)


def main(ground: Ground, random: Random) -> int:
    """kill -9 of a worker's main process; its children go with it."""
    worker = random.choice(ground.victims)
    with suppress(ProcessFailed, psutil.Error):
        children = psutil.Process(worker.pid).children()
        struck = _one(ground, worker)
        ground.killed.update({one.pid: time.time() for one in children})
        return struck
    return 0


def _kill(ground: Ground, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    ground.killed[pid] = time.time()


def _one(ground: Ground, process: Process) -> int:
    """kill -9 of a process that runs; it is started again."""
    with suppress(ProcessFailed, ProcessLookupError):
        _kill(ground, process.pid)
        return 1
    return 0


def api(ground: Ground, _: Random) -> int:
    """kill -9 of the API, as soon as it answers again."""
    try:
        ground.client.get("/livez", timeout=1)
    except httpx2.TransportError:
        return 0
    return _one(ground, ground.api)


def beat(ground: Ground, random: Random) -> int:
    """kill -9 of a beat."""
    return _one(ground, random.choice(ground.beats))


def lateness(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """By how much timers were late; that none was early is asked of every row."""
    found = ground.sql(
        "select extract(epoch from s.ended_at - s.started_at)::float8"
        " - substring(w.name from 'pause-(.*)')::float8 / 1000 from orchestrator.steps s"
        " join orchestrator.instances i on i.id = s.instance_id"
        " join orchestrator.workflows w on w.id = i.workflow_id"
        " where s.kind = 'wait' and s.status = 'completed' and w.name like 'pause-%%' order by 1"
    )
    late = [row[0] for row in found]
    outcome.measured |= {"timers": len(late), "latest_s": round(max(late, default=0.0), 2)}
    return {"a timer was late": late[-3:]} if late and late[-1] > LATE else {}


def stop(ground: Ground, random: Random) -> int:
    """SIGSTOP of three workers or beats, with their children, for three leases."""
    family: list[psutil.Process] = []
    victims = random.sample([*ground.victims, *ground.beats], 3)
    struck = 0
    for victim in victims:
        with suppress(ProcessFailed, psutil.Error):
            main = psutil.Process(victim.pid)
            mine = [main, *main.children()]
            for one in mine:
                one.suspend()
            family += mine
            struck += 1
    time.sleep(3 * float(ground.stack.settings["lease"]))  # the fault itself
    for one in family:
        with suppress(psutil.Error):
            one.resume()
    return struck


def terminate(ground: Ground, random: Random) -> int:
    """SIGTERM of a worker: it ends in order, within its grace, and is started again."""
    worker = random.choice(ground.victims)
    with suppress(ProcessFailed, psutil.Error):
        starts, began, process = worker.starts, time.monotonic(), psutil.Process(worker.pid)
        worker.signal(signal.SIGTERM)
        process.wait(60)
        ground.took.append(time.monotonic() - began)
        worker.wait_for_start(starts + 1, timeout=60)
        return 1
    return 0


def in_order(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """Ends within the grace, and nothing that was shorter than it ran again."""
    lost = ground.sql("select id::text from orchestrator.attempts where state = 'lost' limit 3")
    slowest = round(max(ground.took, default=0.0), 2)
    outcome.measured["slowest_exit_s"] = slowest
    problems: dict[str, Any] = {"a step ran again": lost} if lost else {}
    return problems | ({"an exit took too long": slowest} if slowest > GRACE + 2 else {})


ROWS = (
    Row(
        "kill -9 of a worker's child",
        child,
        10_000,
        300,
        (0.2, 0.8),
        backlog=60,
        recovery=RECOVERY,
        enough=recovered,
        paced=True,
        weight=2,
    ),
    Row(
        "kill -9 of a worker's main process",
        main,
        4_000,
        60,
        (1.0, 3.0),
        {"workers": 3},
        load=LONG,
        # Fewer than the slots, those apart that wait for a lease: the loss is measured, no queue.
        backlog=8,
        recovery=RECOVERY,
        enough=recovered,
        paced=True,
        weight=2,
    ),
    Row("kill -9 of the API", api, 5_000, 50, (1.0, 3.0), paced=True, batch=1),
    Row(
        "kill -9 of a beat",
        beat,
        1_000,
        20,
        (2.0, 4.0),
        {"beats": 2},
        load=TIMERS,
        judge=lateness,
        paced=True,
    ),
    Row(
        "SIGSTOP for 3 leases of 2 s, then CONT",
        stop,
        2_000,
        200,
        (0.5, 1.5),
        {"workers": 6, "concurrency": 1, "beats": 2, "lease": 2},
        stale=True,
        paced=True,
        load=LONG,
        weight=2,
    ),
    Row(
        "rolling SIGTERM",
        terminate,
        3_000,
        30,
        (0.5, 2.0),
        {"shutdown_grace": GRACE},
        judge=in_order,
        paced=True,
    ),
)
