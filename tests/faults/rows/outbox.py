"""Applications that die right after the commit of a start, and beats that die meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from tests.faults.documents import TIMERS
from tests.faults.fault_stack import Ground
from tests.faults.rows import processes
from tests.faults.rows.row import Row

if TYPE_CHECKING:
    from tests.faults.fault_run import Outcome

#: Starts that one application submits before it is killed.
SUBMITTED = 20
_DOCUMENT, _END = TIMERS[0]
_APPLICATION = """
import json, os, signal, sys
import psycopg2
from orchestrator.outbox import start_in

url, name, count = sys.argv[1:]
connection = psycopg2.connect(url)
ids = []
for number in range(int(count)):
    kept = number % 4 != 3
    id = start_in(connection, name, labels={"outbox": "kept" if kept else "lost"})
    (connection.commit if kept else connection.rollback)()
    ids += [id] * kept
print(json.dumps(ids), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def prepare(ground: Ground) -> None:
    """Deploy the workflow, and let the servers' own login start it."""
    ground.deploy(_DOCUMENT)
    ground.sql(
        "insert into orchestrator_outbox.logins (login, namespace) values (session_user, %s)",
        _DOCUMENT["document"]["namespace"],
    )


def strike(ground: Ground, random: Random) -> int:
    """kill -9 of an application right after its commit, and of a beat that moves what it left."""
    name = _DOCUMENT["document"]["name"]
    done = subprocess.run(
        [sys.executable, "-c", _APPLICATION, ground.direct_url, name, str(SUBMITTED)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    ground.told.update(dict.fromkeys(json.loads(done.stdout), _END))
    return 1 + processes.beat(ground, random)


def once_each(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """What was rolled back and yet started, and what stays in the outbox or was refused. (That each
    committed one has ended as it should is asked of every row.)"""
    found = ground.sql(
        "select count(*) filter (where labels ->> 'outbox' = 'kept'),"
        " count(*) filter (where labels ->> 'outbox' = 'lost') from orchestrator.instances"
    )
    left = ground.sql(
        "select (select count(*) from orchestrator_outbox.starts),"
        " (select count(*) from orchestrator.dead_letters where reason = 'start')"
    )
    outcome.measured |= {"submitted": found[0][0]}
    wrong = {"rolled back and started": found[0][1], "left": left[0][0], "refused": left[0][1]}
    return {what: count for what, count in wrong.items() if count}


ROWS = (
    Row(
        "kill -9 of an application after its commit, and of a beat",
        strike,
        1_000,
        20,
        (0.5, 2.0),
        {"beats": 2},
        load=TIMERS,
        prepare=prepare,
        judge=once_each,
    ),
)
