"""Steps that end their process, hang, or give back too much; versions that change meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from tests.faults.documents import CODE, HUNG, LARGE, LINE, dying, versioned
from tests.faults.fault_stack import Ground
from tests.faults.rows.processes import terminate
from tests.faults.rows.row import Row

if TYPE_CHECKING:
    from tests.faults.fault_run import Outcome

#: Starts of a step whose process ends each time, before its workflow faults.
STARTS = 3
#: A slot is free again so long after the limit of the step that hung in it, in s.
FREED = 5.0
#: By how much others may be slower meanwhile; what is shorter than a second is noise.
SLOWER, NOISE = 2.0, 1.0
FAULTED = ("faulted", "none")
COMPLETED = ("completed", "none")

_versions = itertools.count(1)


def die(ground: Ground, random: Random) -> None:
    """A step exits, segfaults, or is killed as the kernel kills who eats memory."""
    if not ground.seen:
        ((ground.seen,),) = ground.sql("select extract(epoch from now())::bigint")
    ground.start_one(ground.deploy(dying(random.choice(["exit", "segfault", "memory"]))), FAULTED)


def buried(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """Started exactly as often as the limit says, then faulted and a dead letter; others hardly
    noticed."""
    starts = ground.sql(
        "select count(a.id), (select count(*) from orchestrator.dead_letters d"
        "  where d.instance_id = i.id and d.reason = 'lost' and d.resolved_at is null)"
        " from orchestrator.instances i"
        " join orchestrator.workflows w on w.id = i.workflow_id and w.name like 'dying-%'"
        " left join orchestrator.attempts a on a.instance_id = i.id and a.claimed_at is not null"
        " group by i.id"
    )
    outcome.measured |= {
        "starts": sorted({row[0] for row in starts}),
        "dead_letters": sum(row[1] for row in starts),
    }
    wrong = [row for row in starts if row[0] != STARTS]
    unburied = [row for row in starts if row[1] != 1]
    before, during = (_p99_of_others(ground, sign) for sign in ("<", ">="))
    outcome.measured |= {"others_p99_s": during, "others_p99_before_s": before}
    slower = during > before * SLOWER and during - before > NOISE
    problems: dict[str, Any] = {"not exactly its starts": wrong} if wrong else {}
    problems |= {"not exactly one dead letter": unburied} if unburied else {}
    return problems | ({"others were slowed down": (before, during)} if slower and before else {})


def _p99_of_others(ground: Ground, sign: str) -> float:
    ((found,),) = ground.sql(
        "select percentile_disc(0.99) within group (order by extract(epoch from i.ended_at"
        " - i.created_at)) from orchestrator.instances i join orchestrator.workflows w"
        f" on w.id = i.workflow_id where w.name = 'line' and i.created_at {sign} to_timestamp(%s)",
        ground.seen,
    )
    return round(float(found or 0), 2)


def overflow(ground: Ground, _: Random) -> None:
    """A step gives back more than is allowed."""
    ground.start_one(ground.deploy(LARGE), FAULTED)


def readable(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """A step error, and the instance can be read."""
    ids = [id for id, end in ground.told.items() if end == FAULTED]
    answers = [
        ground.client.get(f"/v1/instances/{id}{part}") for id in ids for part in ("", "/steps")
    ]
    bad = [
        one.text[:200] for one in answers if one.status_code != 200 or len(one.content) > 100_000
    ]
    told = [one for one in answers[::2] if not (one.json().get("error") or {}).get("type")]
    problems: dict[str, Any] = {"can't be read": bad[:3]} if bad else {}
    return problems | ({"no error is told": told[0].text[:300]} if told else {})


def hang(ground: Ground, _: Random) -> None:
    """A step ignores SIGTERM and never ends by itself."""
    ground.start_one(ground.deploy(HUNG), FAULTED)


def freed(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """How long after the limit the slot of a hung step was used again."""
    found = ground.sql(
        "select extract(epoch from min(b.claimed_at) - a.claimed_at)::float8"
        " from orchestrator.attempts a join orchestrator.instances i on i.id = a.instance_id"
        " join orchestrator.workflows w on w.id = i.workflow_id and w.name = 'hung'"
        " join orchestrator.attempts b on b.worker = a.worker and b.claimed_at > a.claimed_at"
        " group by a.id, a.claimed_at order by 1"
    )
    after = [row[0] - HANGS for row in found]
    outcome.measured |= {"slots": len(after), "freed_after_s": round(max(after, default=0), 2)}
    problems: dict[str, Any] = {} if after else {"no slot was used again": 0}
    return problems | ({"a slot was not free": after[-3:]} if after and after[-1] > FREED else {})


#: The limit of the step that hangs, in s.
HANGS = 2.0


def deploy(ground: Ground, random: Random) -> int:
    """A new version of a workflow, and workers with new code, one after the other."""
    number = next(_versions)
    (ground.folder / CODE).write_text(str(number))
    body = ground.deploy(versioned(number))
    ground.start(body, COMPLETED, 50)
    struck = terminate(ground, random)
    ground.start(body, COMPLETED, 50)
    return struck


def on_their_version(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """Each instance ended with the steps of the version that it was started with."""
    wrong = ground.sql(
        "select i.id::text, w.version, s.reference from orchestrator.instances i"
        " join orchestrator.workflows w on w.id = i.workflow_id and w.name = 'versioned'"
        " join orchestrator.steps s on s.instance_id = i.id and s.parent = 0"
        " where s.reference not like '%/v' || split_part(w.version, '.', 1) || 'x%' limit 3"
    )
    codes = {line.get("code") for line in ground.effects()}
    outcome.measured["releases_of_code"] = len(codes)
    problems: dict[str, Any] = {"on another version": wrong} if wrong else {}
    return problems | ({"only one release of the code ran": codes} if len(codes) < 2 else {})


ROWS = (
    Row("a step exits, segfaults, eats memory", die, 1_000, 60, (1.0, 2.0), judge=buried),
    Row(
        "oversized output",
        overflow,
        500,
        40,
        (0.2, 0.5),
        judge=readable,
        load=((LINE, COMPLETED),),
    ),
    Row(
        "a step hangs and ignores SIGTERM",
        hang,
        300,
        12,
        (2.0, 4.0),
        {"concurrency": 1},
        judge=freed,
        backlog=60,
    ),
    Row(
        "new versions and new code, 1,000 in flight",
        deploy,
        2_000,
        10,
        (0.2, 1.0),
        {"env": {"CHAOS_CODE": CODE}, "shutdown_grace": 10},
        judge=on_their_version,
        backlog=1_000,
    ),
)
