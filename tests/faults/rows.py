"""The rows of the fault matrix: what is done to the product, under what load, and what counts."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psutil
import redis

from orchestrator.embedded import Valkey
from orchestrator.ids import new_id
from orchestrator.processes import Process, ProcessFailed
from tests.faults.documents import LONG, MIXED, Load
from tests.faults.ground import Ground

#: Whether it struck.
Strike = Callable[[Ground, Random], bool | None]


@dataclass(frozen=True)
class Row:
    """One fault. `workflows` and `strikes` are the figures of a full run; `pauses` are the
    seconds between two strikes; `stale`: stale results must have been refused."""

    name: str
    strike: Strike
    workflows: int
    strikes: int
    pauses: tuple[float, float]
    ground: dict[str, Any] = field(default_factory=dict)
    stale: bool = False
    #: What runs meanwhile: documents, with their ends.
    load: Sequence[Load] = MIXED
    #: In s, of a step whose process was killed, till it runs again.
    recovery: float | None = None


# -- processes -------------------------------------------------------------------------------

#: When which process was killed, by its id.
KILLED: dict[int, float] = {}


def _kill(pid: int) -> None:
    KILLED[pid] = time.time()
    os.kill(pid, signal.SIGKILL)


def child(ground: Ground, random: Random) -> bool:
    """kill -9 of a worker's child."""
    found = ground.children()
    with suppress(ProcessLookupError):
        if found:
            _kill(random.choice(found).pid)
            return True
    return False


def main(ground: Ground, random: Random) -> bool:
    """kill -9 of a worker's main process, with its children or without."""
    worker = random.choice(ground.workers)
    with suppress(ProcessFailed, psutil.Error):
        for process in psutil.Process(worker.pid).children():
            KILLED[process.pid] = time.time()
        return _one(worker)
    return False


def _one(process: Process) -> bool:
    """kill -9 of a process that runs; it is started again."""
    with suppress(ProcessFailed):
        _kill(process.pid)
        return True
    return False


def api(ground: Ground, _: Random) -> bool:
    """kill -9 of the API."""
    return _one(ground.api)


def beat(ground: Ground, random: Random) -> bool:
    """kill -9 of a beat."""
    return _one(random.choice(ground.beats))


def stop(ground: Ground, random: Random) -> bool:
    """SIGSTOP of a worker with its children, or of a beat, for three leases."""
    victim = random.choice([*ground.workers, *ground.beats])
    with suppress(ProcessFailed, psutil.Error):
        family = [psutil.Process(victim.pid), *psutil.Process(victim.pid).children()]
        for one in family:
            one.suspend()
        time.sleep(3 * float(ground.stack.settings["lease"]))  # the fault itself
        for one in family:
            with suppress(psutil.Error):
                one.resume()
        return True
    return False


def terminate(ground: Ground, random: Random) -> bool:
    """SIGTERM of a worker: it ends in order, within its grace, and is started again."""
    worker = random.choice(ground.workers)
    with suppress(ProcessFailed):
        starts, began = worker.starts, time.monotonic()
        worker.signal(signal.SIGTERM)
        worker.wait_for_start(starts + 1, timeout=60)
        TOOK.append(time.monotonic() - began)
        return True
    return False


#: How long orderly ends took, the next start included, in s.
TOOK: list[float] = []


# -- the database ----------------------------------------------------------------------------


def postgres(ground: Ground, random: Random) -> None:
    """A crash of Postgres, and its return after up to five seconds."""
    ground.postgres.kill()
    time.sleep(random.uniform(0, 5))  # the fault itself
    ground.postgres.start()


def commit(ground: Ground, _: Random) -> bool:
    """The replies to writes are lost; one strike is one of them."""
    proxy = ground.proxy
    assert proxy is not None
    proxy.drop = 0.1
    seen = getattr(ground, "seen", 0)
    if proxy.dropped <= seen:
        return False
    ground.seen = seen + 1  # type: ignore[attr-defined]
    return True


def connections(ground: Ground, random: Random) -> None:
    """Connections to Postgres are cut, reset, swallowed, slow, or deaf in one direction."""
    proxy = ground.proxy
    assert proxy is not None
    kind = random.choice(["cut", "reset", "swallow", "slow", "one-way"])
    if kind in ("cut", "reset"):
        proxy.cut(reset=kind == "reset")
        return
    proxy.mode = kind
    time.sleep(random.uniform(1, 4))  # the fault itself
    proxy.mode = "pass"
    proxy.cut()


# -- the broker ------------------------------------------------------------------------------

_COPY = """
local items = redis.call('lrange', KEYS[1], 0, -1)
if #items == 0 then return 0 end
local out, copied = {}, 0
for _, item in ipairs(items) do
  if string.find(item, '"chaos": 1', 1, true) then
    table.insert(out, item)
  else
    local marked = string.sub(item, 1, -2) .. ', "chaos": 1}'
    for _ = 1, tonumber(ARGV[1]) do table.insert(out, marked) end
    copied = copied + 1
  end
end
math.randomseed(tonumber(ARGV[2]))
for i = #out, 2, -1 do
  local j = math.random(i)
  out[i], out[j] = out[j], out[i]
end
redis.call('del', KEYS[1])
for _, item in ipairs(out) do redis.call('rpush', KEYS[1], item) end
return copied
"""

QUEUES = ("celery", "orchestrator")


def flush(ground: Ground, _: Random) -> None:
    """FLUSHALL."""
    with redis.Redis.from_url(ground.valkey.url) as client:
        client.flushall()


def flush_all(valkey: Valkey) -> None:
    """An empty broker to begin with."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()


def restart_broker(ground: Ground, random: Random) -> None:
    """The broker dies and comes back empty."""
    ground.valkey.kill()
    time.sleep(random.uniform(0.2, 3))  # the fault itself
    ground.valkey.start()


def tenfold(ground: Ground, random: Random) -> bool:
    """Every message that waits is there ten times, in any order."""
    with redis.Redis.from_url(ground.valkey.url) as client:
        script = client.register_script(_COPY)
        copied = [script(keys=[queue], args=[10, random.getrandbits(31)]) for queue in QUEUES]
    return any(copied)


def poison(ground: Ground, random: Random) -> None:
    """Messages that are no messages, are nobody's, or pretend to be a step's."""
    kind = random.randrange(6)
    body: Any = "W1tdLCB7fSwge31d"
    headers: dict[str, Any] = {"lang": "py", "task": "chaos.effect", "id": new_id()}
    if kind == 1:
        headers["orchestrator"] = {"instance": new_id(), "step": 1, "v": 1}
    elif kind == 2:
        headers["orchestrator"] = "x" * 10_000
    elif kind == 3:
        headers |= {"task": "no.such.task", "orchestrator": {"instance": None}}
    elif kind == 4:
        body = "gAR9lC4="
    raw = json.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/x-python-serialize" if kind == 4 else "application/json",
            "headers": headers,
            "properties": {
                "correlation_id": headers["id"],
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "celery"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": new_id(),
            },
        }
    )
    with redis.Redis.from_url(ground.valkey.url) as client:
        client.lpush(random.choice(QUEUES), raw[: random.randrange(len(raw))] if kind == 5 else raw)


# -- the matrix ------------------------------------------------------------------------------

ROWS = (
    Row("kill -9 of a worker's child", child, 10_000, 300, (0.2, 0.8), recovery=12.0),
    Row("kill -9 of a worker's main process", main, 4_000, 60, (1.0, 3.0), recovery=12.0),
    Row("kill -9 of the API", api, 5_000, 50, (2.0, 3.0)),
    Row("kill -9 of a beat", beat, 1_000, 20, (2.0, 4.0), {"beats": 2}),
    Row(
        "SIGSTOP for 3 leases of 2 s, then CONT",
        stop,
        2_000,
        200,
        (0.1, 0.5),
        {"workers": 6, "concurrency": 1, "beats": 2, "lease": 2},
        stale=True,
        load=LONG,
    ),
    Row("Postgres crashes and restarts", postgres, 5_000, 12, (5.0, 15.0)),
    Row("the reply of a COMMIT is lost", commit, 5_000, 500, (0.0, 0.05), {"through_proxy": True}),
    Row(
        "connections cut, reset, half-open, slow, one-way",
        connections,
        2_000,
        30,
        (2.0, 4.0),
        {"through_proxy": True},
    ),
    Row("FLUSHALL", flush, 5_000, 50, (2.5, 3.5)),
    Row("the broker restarts", restart_broker, 3_000, 20, (4.0, 8.0)),
    Row("each message ten times, shuffled", tenfold, 3_000, 500, (0.01, 0.05)),
    Row("poisonous messages", poison, 2_000, 1_000, (0.0, 0.05), {"steps_only": 1}),
    Row("rolling SIGTERM", terminate, 3_000, 30, (1.0, 3.0), {"grace": 10}),
)

#: What every row's product is set to, unless it says otherwise.
DEFAULTS: dict[str, Any] = {"lease": 10, "republish_after": 2}
