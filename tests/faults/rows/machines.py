"""Machines that lie about the time, are full, or come back from a backup; clients in crowds."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import httpx2

from orchestrator.embedded import Postgres
from tests.faults.documents import ALONE, LINE, TIMERS, Body
from tests.faults.fault_stack import Ground
from tests.faults.rows.row import Row

if TYPE_CHECKING:
    from tests.faults.fault_run import Outcome

COMPLETED = ("completed", "none")

# -- clocks ----------------------------------------------------------------------------------

SOURCE = Path(__file__).parents[1] / "clock.c"
#: In the row's folder: by how many seconds the processes' wall clocks are off, and what does it.
CLOCK, PRELOADED = "clock", "clock.so"


def no_compiler() -> str | None:
    """Why clocks can't be stepped here."""
    return None if shutil.which("cc") else "there is no C compiler to make the clock with"


def make_clock(folder: Path) -> Mapping[str, str]:
    """The environment of processes whose clock can be stepped."""
    (folder / CLOCK).write_bytes(bytes(8))
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(folder / PRELOADED), str(SOURCE)]
    subprocess.run(command, check=True)
    return {"LD_PRELOAD": str(folder / PRELOADED), "CHAOS_CLOCK": str(folder / CLOCK)}


def step_clock(ground: Ground, random: Random) -> None:
    """The clocks of all our processes jump by an hour, or back."""
    offset = random.choice([-3600, 0, 3600])
    with (ground.folder / CLOCK).open("r+b") as file:
        file.write(offset.to_bytes(8, "little", signed=True))


def stepped(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """The ledger's times show that the tasks' clocks were wrong, and everything went on."""
    off = {round((line["at"] - line["true"]) / 3600) for line in ground.effects()}
    outcome.measured["hours_off"] = sorted(off)
    return {} if off - {0} else {"no clock was ever wrong": sorted(off)}


# -- disks -----------------------------------------------------------------------------------

#: Of the small disk, in MB.
SIZE = 220
#: Everything works again within this, in s.
AGAIN = 10.0
#: The disk stays full until a client was refused, so long at most, in s.
LONGEST_FULL = 20.0
#: Among a row's notes: how many requests were answered 503 while the disk was full.
REFUSED = "refused while full"


def no_mount() -> str | None:
    """Why no small disk can be made here."""
    if os.geteuid() != 0:
        return "only root can mount a small disk"
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
    )
    return None if tried.returncode == 0 else "a small disk can't be mounted here"


@contextmanager
def on_small_disk(folder: Path) -> Iterator[Postgres]:
    """A server whose data has little room."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m,mode=755", "none", str(disk)], check=True
    )
    try:
        settings = {"max_wal_size": "48MB", "min_wal_size": "48MB"}
        with Postgres(disk / "pg", fsync=False, settings=settings) as server:
            yield server
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=False)


def fill(ground: Ground, random: Random) -> None:
    """No byte is free until clients were refused, and for a second or two; then work goes on, and
    nobody restarted our processes."""
    disk, body = ground.postgres.data_dir.parent, ground.deploy(LINE)
    full = disk / "full"
    with suppress(OSError), full.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    before, freed = ground.unavailable, threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(_ask_until, freed, ground, body)
        try:
            _until_refused(ground, before)
            time.sleep(random.uniform(1, 2))  # the fault itself
            ground.notes[REFUSED] = ground.notes.get(REFUSED, 0) + ground.unavailable - before
        finally:
            full.unlink()
            ground.postgres.start()  # where it has given up, its supervisor's work
            freed.set()
        began = time.monotonic()
        asking.result()
    ground.start_one(body, COMPLETED)
    ground.took.append(time.monotonic() - began)


def _ask_until(freed: threading.Event, ground: Ground, body: Body) -> None:
    """A client that starts workflows, so that room is needed; it is refused and asks again."""
    while not freed.wait(0.05):
        ground.start(body, COMPLETED, 5)


def _until_refused(ground: Ground, before: int) -> None:
    until = time.monotonic() + LONGEST_FULL
    while ground.unavailable == before and time.monotonic() < until:
        time.sleep(0.1)  # until a client is told that there is no room


def _met(ground: Ground) -> int:
    """How often Postgres has found the disk full."""
    return ground.postgres.log.read_text(errors="replace").count("No space left on device")


def recovers(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """Taken again soon; refused meanwhile."""
    slowest = round(max(ground.took, default=0.0), 2)
    met = _met(ground)
    refused = ground.notes.get(REFUSED, 0)
    outcome.measured |= {"taken_again_s": slowest, "met": met, "refused_while_full": refused}
    problems: dict[str, Any] = {"not taken again": slowest} if slowest > AGAIN else {}
    if not refused:
        problems["nobody was answered 503 while it was full"] = 0
    return problems | ({} if met else {"nobody needed room": 0})


# -- backups ---------------------------------------------------------------------------------

#: Among a row's notes: how many runs of tasks the restored databases did not know of.
FORGOTTEN = "forgotten"


@contextmanager
def of_its_own(folder: Path) -> Iterator[Postgres]:
    """A server that no other row needs."""
    with Postgres(folder / "pg", fsync=False) as server:
        yield server


def restore(ground: Ground, _: Random) -> int:
    """Every other time a backup is made; then the database is what it was at the backup, while
    the broker and the workers know more."""
    server, backup = ground.postgres, ground.folder / "backup"
    cluster = server.data_dir / "cluster"
    server.stop()
    restored = backup.exists()
    if restored:
        shutil.rmtree(cluster)
        backup.rename(cluster)
        time.sleep(1.0)  # what was claimed before has run by now: steps take no time
        ran = [line["attempt"] for line in ground.effects() if line["attempt"]]
        ground.forget_effects()
    else:
        subprocess.run(["cp", "-a", str(cluster), str(backup)], check=True)
    server.start()
    if restored:
        ground.notes[FORGOTTEN] = ground.notes.get(FORGOTTEN, 0) + _unknown(ground, ran)
    return int(restored)


def _unknown(ground: Ground, ran: list[str]) -> int:
    """How many of those that ran the database has never heard of, or not that they were claimed."""
    ((count,),) = ground.sql(
        "select count(*) from unnest(%s::uuid[]) r(id) left join orchestrator.attempts a"
        " on a.id = r.id where a.claimed_at is null",
        ran,
    )
    return int(count)


def forgot(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """The database was really older than what had run."""
    forgotten = outcome.measured["runs_forgotten"] = ground.notes.get(FORGOTTEN, 0)
    return {} if forgotten else {"nothing was forgotten": 0}


# -- crowds ----------------------------------------------------------------------------------

CROWD = 200
OK = 200
#: A response's status, 0 for none, and its seconds.
Answer = tuple[int, float]
#: Of a crowd, whoever is refused learns it within this, in s: after the three for which a request
#: waits for a connection, and one for the crowd's own machine. Who is served may wait longer.
REFUSAL, SERVED = 3.0 + 1.0, 10.0
#: A single client is served as ever within this after a crowd, in s.
NORMAL = 5.0


def crowd(ground: Ground, _: Random) -> int:
    """200 clients at once, at an API with two connections to the database."""
    limits = httpx2.Limits(max_connections=CROWD, max_keepalive_connections=0)
    url = ground.stack.settings["api_url"]
    with (
        httpx2.Client(base_url=url, timeout=60, limits=limits) as client,
        ThreadPoolExecutor(CROWD) as pool,
    ):
        answers = list(pool.map(lambda n: _ask(client, n), range(CROWD)))
        ground.notes["answers"] = ground.notes.get("answers", []) + answers
        began = time.monotonic()
        while _ask(client, 0)[0] != 200 and time.monotonic() < began + 60:
            time.sleep(0.1)  # as a client would
        ground.took.append(time.monotonic() - began)
    return 1


def _ask(client: httpx2.Client, number: int) -> Answer:
    began = time.monotonic()
    paths = ("/v1/instances?limit=5", "/v1/workflows", "/v1/timers")
    try:
        status = client.get(paths[number % len(paths)]).status_code
    except httpx2.TransportError:
        status = 0
    return status, time.monotonic() - began


def quick(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """Answers or 503, and soon; then as ever."""
    again = round(max(ground.took, default=0.0), 2)
    measured, problems = judge_crowd(ground.notes.get("answers", []))
    outcome.measured |= {**measured, "normal_after_s": again}
    return problems | ({"not normal again": again} if again > NORMAL else {})


def judge_crowd(answers: Sequence[Answer]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was measured, and what is wrong: who is refused learns it at once."""
    refusals = [seconds for status, seconds in answers if status != OK]
    refused = round(max(refusals, default=0.0), 2)
    served = round(max((seconds for status, seconds in answers if status == OK), default=0.0), 2)
    told = dict(Counter(status for status, _ in answers))
    problems: dict[str, Any] = {}
    if not told.keys() <= {OK, 503, 429}:
        problems["answers"] = told
    if refused > REFUSAL:
        problems["a refusal took too long"] = refused
    if served > SERVED:
        problems["an answer took too long"] = served
    return {"answers": told, "slowest_refusal_s": refused, "slowest_s": served}, problems


ROWS = (
    Row("200 clients, two connections", crowd, 500, 10, (0.5, 2.0), {"api_pool": 2}, judge=quick),
    Row(
        "clocks step by an hour, back and forth",
        step_clock,
        1_000,
        60,
        (1.0, 2.0),
        {
            "beats": 2,
            "make": make_clock,
        },
        load=(*TIMERS, (LINE, COMPLETED)),
        judge=stepped,
        absent=no_compiler,
    ),
    Row(
        "Postgres is restored, the broker newer than it",
        restore,
        1_000,
        5,
        (2.0, 4.0),
        {"forgets": True},
        load=ALONE,  # what was asked of the others later is gone with the database
        judge=forgot,
        postgres=of_its_own,
    ),
    Row(
        "the database's disk is full",
        fill,
        1_000,
        5,
        (3.0, 5.0),
        judge=recovers,
        postgres=on_small_disk,
        absent=no_mount,
    ),
)
