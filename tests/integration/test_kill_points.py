"""kill -9 of a worker's child and of its main process, at every point of a step's way: the
instance ends as it would have, and each step's success is recorded once (issue of trust:
invariants I2 to I4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.apps.kill_points import POINTS
from tests.support.stack import Stack

DOCUMENT: dict[str, Any] = {
    "document": {"dsl": "1.0.3", "namespace": "test", "name": "three", "version": "1.0.0"},
    "do": [
        {name: {"call": "steps.effect", "with": {"name": name}}}
        for name in ("first", "second", "third")
    ],
}


@pytest.mark.parametrize("continued", [True, False], ids=["continued", "through the broker"])
@pytest.mark.parametrize("whom", ["child", "main"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at(
    point: str,
    whom: str,
    continued: bool,
    tmp_path: Path,
    database_url: str,
    broker_url: str,
) -> None:
    mark = tmp_path / "killed"
    settings = {
        "lease": 1,
        "republish_after": 1,
        "continuation_budget": 0.1 if continued else 0,
    }
    killing = {"KILL_AT": point, "KILL_STEP": "/second", "KILL_WHOM": whom, "KILL_MARK": mark}
    with Stack(tmp_path, database_url, broker_url, **settings) as stack:
        stack.api()
        stack.beat()
        stack.worker("one", concurrency=1, env=killing, restart=True)
        stack.worker("two", concurrency=1, env=killing, restart=True)
        ended = stack.run(DOCUMENT, timeout=60)

        if point == "before the claim" and continued:
            # A continued step is claimed by the commit before it: there is no claim to die at,
            # unless a hint came through the broker.
            assert mark.exists() or not stack.sql("select 1 from orchestrator.attempts a where a.publishings > 0")
        else:
            assert mark.exists(), "nobody was killed"
        assert ended["status"] == "completed", ended
        assert ended["output"] == {"done": "third"}
        assert stack.sql(
            "select ref, status from orchestrator.steps where kind = 'call' order by id"
        ) == [(f"/do/{n}/{name}", "completed") for n, name in enumerate(("first", "second", "third"))]
        # One success a step, one end an attempt, and a history without gaps.
        assert stack.sql(
            "select count(*) from orchestrator.attempts where state = 'succeeded'"
        ) == [(3,)]
        assert stack.sql(
            "select count(*) from orchestrator.attempts where state in ('ready', 'claimed')"
        ) == [(0,)]
        assert stack.sql(
            "select i.sequence = count(*) and i.sequence = max(h.sequence)"
            " from orchestrator.instances i join orchestrator.history h on h.instance_id = i.id"
            " group by i.sequence"
        ) == [(True,)]
        keys = stack.sql("select effect, count(distinct key) from public.ledger group by 1")
        assert sorted(keys) == [("first", 1), ("second", 1), ("third", 1)]
