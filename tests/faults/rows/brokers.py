"""A broker that forgets, dies, repeats itself or is told nonsense."""

from __future__ import annotations

import base64
import json
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import kombu
import redis

from orchestrator.embedded.supervisor import ProcessFailed
from orchestrator.ids import new_id
from tests.faults.documents import LINE
from tests.faults.fault_stack import Ground
from tests.faults.rows.row import Row
from tests.support.rabbitmq import why_absent

if TYPE_CHECKING:
    from tests.faults.fault_run import Outcome

_COPY = """
local items = redis.call('lrange', KEYS[1], 0, -1)
if #items == 0 then return {0, 0} end
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
return {copied, #out}
"""

#: Of the steps, and of the hints.
QUEUES = ("celery.orchestrator", "orchestrator")
#: Among a row's notes: how many messages were shuffled at once, at most.
SHUFFLED = "shuffled"
#: Workers consume again within this, in s, and nobody restarts anything by hand.
AGAIN = 15.0
#: So many workflows have ended before it is weighed: processes grow when they first work.
WARM = 40
#: What the whole product may gain in memory from poison, in bytes.
POISONED = 100 << 20


def flush(ground: Ground, _: Random) -> None:
    """FLUSHALL."""
    with redis.Redis.from_url(ground.broker.url) as client:
        client.flushall()


def restart(ground: Ground, random: Random) -> None:
    """The broker dies and comes back (Valkey: empty); steps are claimed again."""
    ground.broker.kill()
    time.sleep(random.uniform(0.2, 3))  # the fault itself
    try:
        ground.broker.start()
    except ProcessFailed:  # RabbitMQ on a machine that is very busy: once more
        ground.broker.start()
    _until_claimed(ground)


def delete_queue(ground: Ground, random: Random) -> None:
    """The queue of the steps is deleted, with all that waits in it and its consumers."""
    with kombu.Connection(ground.stack.broker_url) as connection:
        kombu.Queue(QUEUES[0], channel=connection.default_channel).delete()
    _until_claimed(ground)


def _until_claimed(ground: Ground) -> None:
    """Wait until a step is claimed whose message was sent after now; one that its worker went on
    with has no message, and shows nothing."""
    began = time.monotonic()
    ((now,),) = ground.sql("select clock_timestamp()")
    claimed = (
        "select exists (select from orchestrator.attempts"
        " where published_at > %s and claimed_at > published_at)"
    )
    while not ground.sql(claimed, now)[0][0] and time.monotonic() < began + 60:
        time.sleep(0.1)  # between two looks
    ground.took.append(time.monotonic() - began)


def consumes(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """How long it took at most until a step whose message was sent since was claimed."""
    slowest = round(max(ground.took, default=0.0), 2)
    outcome.measured["consuming_again_s"] = slowest
    return {"not consuming again": slowest} if slowest > AGAIN else {}


def tenfold(ground: Ground, random: Random) -> int:
    """Every message that waits is there ten times, in any order."""
    with redis.Redis.from_url(ground.broker.url) as client:
        script = client.register_script(_COPY)
        made = [script(keys=[queue], args=[10, random.getrandbits(31)]) for queue in QUEUES]
    ground.notes[SHUFFLED] = max(ground.notes.get(SHUFFLED, 0), *(waiting for _, waiting in made))
    return sum(copied for copied, _ in made)


def refused(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """The copies were dropped."""
    outcome.measured["shuffled_at_once"] = ground.notes.get(SHUFFLED, 0)
    dropped = outcome.measured["dropped"] = ground.logged("message_dropped")
    return {} if dropped else {"no copy was refused": 0}


# -- poison ----------------------------------------------------------------------------------

#: In the row's folder: whoever unpickles a message makes this file.
CANARY = "canary"


class Canary:
    """What makes a file as soon as it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self._file), "w")


def pickled(file: Path) -> str:
    """A message's body that makes the file."""
    return base64.b64encode(pickle.dumps(Canary(file))).decode()


def poison(ground: Ground, random: Random) -> int:
    """Messages that are no messages, are nobody's, or pretend to be a step's."""
    if not ground.seen:
        if ground.ended < WARM:
            return 0
        ground.seen = ground.memory()
    raw = _poisonous(random, ground.folder / CANARY)
    with redis.Redis.from_url(ground.broker.url) as client:
        client.lpush(random.choice(QUEUES), raw)
    return 1


def _poisonous(random: Random, canary: Path) -> str:
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
        body = pickled(canary)
    raw = json.dumps(
        {
            "body": body,
            "content-encoding": "binary" if kind == 4 else "utf-8",
            "content-type": "application/x-python-serialize" if kind == 4 else "application/json",
            "headers": headers,
            "properties": {
                "correlation_id": headers["id"],
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": QUEUES[0]},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": new_id(),
            },
        }
    )
    return raw[: random.randrange(len(raw))] if kind == 5 else raw


def digested(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """Serving again soon, no larger, and nothing was unpickled."""
    gained = ground.memory() - ground.seen
    outcome.measured["gained_mb"] = round(gained / 2**20, 1)
    ground.start_one(ground.deploy(LINE), ("completed", "none"))
    ground.settle(AGAIN)
    problems: dict[str, Any] = {"not serving again": AGAIN} if ground.missing() else {}
    if (ground.folder / CANARY).exists():
        problems["a message's code was run"] = CANARY
    return problems | ({"memory": gained} if gained > POISONED else {})


ROWS = (
    Row("FLUSHALL", flush, 5_000, 50, (2.5, 3.5), paced=True),
    Row("Valkey restarts", restart, 3_000, 20, (2.0, 6.0), judge=consumes, paced=True),
    Row(
        "RabbitMQ restarts",
        restart,
        2_000,
        10,
        (3.0, 6.0),
        judge=consumes,
        paced=True,
        rabbitmq=True,
        absent=why_absent,
        weight=1.5,
    ),
    Row(
        "RabbitMQ's queue is deleted",
        delete_queue,
        2_000,
        10,
        (2.0, 4.0),
        judge=consumes,
        paced=True,
        rabbitmq=True,
        absent=why_absent,
    ),
    Row(
        "each message ten times, shuffled",
        tenfold,
        3_000,
        5_000,
        (0.01, 0.05),
        judge=refused,
    ),
    Row(
        "poisonous messages",
        poison,
        2_000,
        1_000,
        (0.0, 0.03),
        {"steps_only": 1},
        judge=digested,
    ),
)
