"""A database that crashes, loses replies, is slow or out of reach."""

from __future__ import annotations

import time
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from tests.faults.documents import LONG
from tests.faults.fault_stack import Ground
from tests.faults.proxy import Proxy
from tests.faults.rows.row import Row

if TYPE_CHECKING:
    from tests.faults.fault_run import Outcome

#: The API says within this that the database is away, in s.
ANSWER = 3.0
#: Of all claims, so many may be taken from workers that lived, while commits are slow.
FALSELY_RECLAIMED = 0.01
SLOW_COMMIT = 0.2


def crash(ground: Ground, random: Random) -> None:
    """A crash of Postgres, and its return after up to five seconds; a client asks meanwhile."""
    ground.postgres.kill()
    back = time.monotonic() + random.uniform(0, 5)
    ground.look()
    time.sleep(max(0.0, back - time.monotonic()))  # the fault itself
    ground.postgres.start()


def answers(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """The API never hangs, and says that the database is away."""
    slowest = round(ground.slowest_answer, 2)
    outcome.measured |= {"slowest_answer_s": slowest, "answered_503": ground.unavailable}
    problems: dict[str, Any] = {"never answered": ground.hung} if ground.hung else {}
    if not ground.unavailable:
        problems["nobody was answered 503"] = 0
    return problems | ({"an answer took too long": slowest} if slowest > ANSWER else {})


def commit(ground: Ground, _: Random) -> int:
    """Every tenth reply to a write is lost with its connection; each is a strike."""
    proxy = _proxy(ground.proxy)
    proxy.drop = 0.1
    before, ground.seen = ground.seen, proxy.dropped
    return ground.seen - before


def _proxy(proxy: Proxy | None) -> Proxy:
    assert proxy is not None, "the row's ground has no proxy"
    return proxy


def to_database(ground: Ground, random: Random) -> None:
    """Connections to Postgres are cut, reset, swallowed, slow, or deaf in one direction."""
    disturb(ground, _proxy(ground.proxy), random)


def to_broker(ground: Ground, random: Random) -> None:
    """The same, to the broker."""
    disturb(ground, _proxy(ground.broker_proxy), random)


#: What a connection can suffer; a full run has twelve times each, which is 30 s.
KINDS = ("cut", "reset", "swallow", "slow", "one-way")


def disturb(ground: Ground, proxy: Proxy, random: Random) -> None:
    kind = KINDS[ground.seen % len(KINDS)]
    ground.seen += 1
    if kind in ("cut", "reset"):
        proxy.cut(reset=kind == "reset")
        return
    proxy.mode = kind
    time.sleep(random.uniform(1, 4))  # the fault itself
    proxy.mode = "pass"
    proxy.cut()


def all_kinds(ground: Ground) -> bool:
    """Whether connections have suffered each of them."""
    return ground.seen >= len(KINDS)


def suffered(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """Each kind, at least once."""
    kinds = outcome.measured["kinds"] = min(ground.seen, len(KINDS))
    return {} if all_kinds(ground) else {"not every kind": kinds}


def slow_commits(ground: Ground) -> None:
    """Each commit of a transition or a heartbeat takes 200 ms, with its locks held: what a slow
    fsync does."""
    ground.sql("create sequence public.slow")
    ground.sql(
        "create function public.slow() returns trigger language plpgsql as"
        f" $$ begin perform nextval('public.slow'), pg_sleep({SLOW_COMMIT}); return null; end $$"
    )
    for table, event in (("history", "insert"), ("workers", "update"), ("stimuli", "insert")):
        ground.sql(
            f"create constraint trigger slow after {event} on orchestrator.{table}"
            " deferrable initially deferred for each row execute function public.slow()"
        )


def slow(ground: Ground, _: Random) -> int:
    """Each slow commit is a strike."""
    before = ground.seen
    ((ground.seen,),) = ground.sql("select last_value from public.slow")
    return int(ground.seen) - before


def reclaimed(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """Attempts that were taken from workers that lived."""
    ground.sql("drop function public.slow() cascade")
    ((lost, all_of_them),) = ground.sql(
        "select count(*) filter (where state = 'lost'), count(*) from orchestrator.attempts"
        " where claimed_at is not null"
    )
    share = lost / max(1, all_of_them)
    outcome.measured |= {"falsely_reclaimed": lost, "claims": all_of_them}
    return {"falsely reclaimed": share} if share > FALSELY_RECLAIMED else {}


ROWS = (
    Row(
        "Postgres crashes and restarts",
        crash,
        5_000,
        24,
        (5.0, 15.0),
        judge=answers,
        paced=True,
        weight=1.5,
    ),
    Row("the reply of a COMMIT is lost", commit, 5_000, 500, (0.0, 0.05), {"through_proxy": True}),
    Row(
        "connections to Postgres cut, reset, half-open, slow, one-way",
        to_database,
        2_000,
        60,
        (2.0, 4.0),
        {"through_proxy": True},
        judge=suffered,
        enough=all_kinds,
        weight=1.5,
        paced=True,
    ),
    Row(
        "connections to the broker cut, reset, half-open, slow, one-way",
        to_broker,
        2_000,
        60,
        (2.0, 4.0),
        {"broker_through_proxy": True},
        judge=suffered,
        enough=all_kinds,
        weight=1.5,
        paced=True,
    ),
    Row(
        "each commit takes 200 ms",
        slow,
        500,
        2_000,
        (0.1, 0.2),
        {"lease": 2},
        load=LONG,
        backlog=20,
        prepare=slow_commits,
        judge=reclaimed,
    ),
)
