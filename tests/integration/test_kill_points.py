"""kill -9 of a worker's child and of its main process, at every point of a step's way: the
instance ends as it would have, and each step's success is recorded once (invariants I2 to I4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import Stack

NAMES = ("first", "second", "third")
DOCUMENT: dict[str, Any] = {
    "document": {"dsl": "1.0.3", "namespace": "test", "name": "three", "version": "1.0.0"},
    "do": [{name: {"call": "steps.effect", "with": {"name": name}}} for name in NAMES],
}

#: A continued step is claimed by the commit before it: the message's claim is not on its way.
CONTINUED = ("during the task", "before the commit", "after the commit")
THROUGH_THE_BROKER = ("before the claim", "after the claim", *CONTINUED)
WAYS = [(point, 0.1, whom) for whom in ("child", "main") for point in CONTINUED] + [
    (point, 0.0, whom) for whom in ("child", "main") for point in THROUGH_THE_BROKER
]


def cases() -> list[Any]:
    """Each point and each process at every change."""
    quick = WAYS[2:3] + WAYS[-4:-3]
    return [way if way in quick else pytest.param(*way, marks=pytest.mark.slow) for way in WAYS]


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """An API and a beat with a short lease; each test brings its own workers."""
    database_url = request.getfixturevalue("module_database_url")
    broker_url = request.getfixturevalue("module_broker_url")
    folder = tmp_path_factory.mktemp("kill")
    settings = {"lease": 1, "republish_after": 1}
    with Stack(folder, database_url, broker_url, **settings) as stack:
        stack.api()
        stack.beat()
        yield stack


@pytest.mark.parametrize(("point", "budget", "whom"), cases())
def test_killed_at(point: str, budget: float, whom: str, stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "killed"
    killing = {
        "KILL_AT": point,
        "KILL_STEP": "/second",
        "KILL_WHOM": whom,
        "KILL_MARK": mark,
        "ORCHESTRATOR_CONTINUATION_BUDGET": budget,
    }
    workers = [
        stack.worker(name, concurrency=1, env=killing, restart=True, ready=None)
        for name in ("one", "two")
    ]
    try:
        ended = stack.run(DOCUMENT, timeout=60)
    finally:
        for worker in workers:
            worker.stop(grace=1)

    assert mark.exists(), "nobody was killed"
    assert ended["status"] == "completed", ended
    assert ended["output"] == {"done": "third"}
    id = ended["id"]
    assert stack.sql(
        "select reference, status from orchestrator.steps where instance_id = %s order by id", id
    ) == [(f"/do/{place}/{name}", "completed") for place, name in enumerate(NAMES)]
    # One success a step, an end for each attempt, a history without gaps, one key a step.
    states = "select state, count(*) from orchestrator.attempts where instance_id = %s group by 1"
    counts = dict(stack.sql(states, id))
    assert counts.pop("succeeded") == len(NAMES)
    assert set(counts) <= {"lost"}
    assert stack.sql(
        "select max(sequence) = count(*) and max(sequence) = (select sequence from"
        " orchestrator.instances where id = %s) from orchestrator.history where instance_id = %s",
        id,
        id,
    ) == [(True,)]
    keys = stack.sql(
        "select effect, count(distinct key) from public.ledger where key like %s group by 1",
        f"{id}%",
    )
    assert sorted(keys) == [(name, 1) for name in sorted(NAMES)]
