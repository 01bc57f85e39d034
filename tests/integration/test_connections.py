"""How many connections each kind of process takes, as docs/operations/scaling.md reckons."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.documents import doc
from tests.support.stack import ROOT, Stack

CHILDREN = 4


def reckoned(kind: str) -> int:
    """The page's figure for the processes of the test."""
    page = (ROOT / "docs/operations/scaling.md").read_text(encoding="utf-8")
    (formula,) = re.findall(rf"^\| {kind} \| `([^`]+)` \|", page, re.MULTILINE)
    return int(eval(formula, {"__builtins__": {}}, {"pool": 5, "children": CHILDREN}))


@pytest.mark.slow
def test_a_stack_takes_no_more_connections_than_reckoned(
    tmp_path: Path, database_url: str, broker_url: str
) -> None:
    with Stack(tmp_path, database_url, broker_url) as stack:
        taken: dict[str, int] = {}

        def count(kind: str) -> None:
            (row,) = stack.sql(
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and backend_type = 'client backend' and pid <> pg_backend_pid()"
            )
            taken[kind] = row[0] - sum(taken.values())

        stack.beat()
        stack.until(lambda: "listen" in str(stack.sql("select query from pg_stat_activity")), "")
        count("beat")
        stack.worker(concurrency=CHILDREN)
        stack.api()
        body = stack.deploy(doc({"one": {"call": "steps.add", "with": {"a": 1, "b": 2}}}))
        for instance in [stack.start(body) for _ in range(60)]:
            stack.wait(instance)
        count("the rest")
        print(taken)
        assert taken["beat"] <= reckoned("beat")
        rest = reckoned("worker, prefork") + reckoned("API") + reckoned("beat")
        assert sum(taken.values()) <= rest
        assert taken["the rest"] > CHILDREN  # they are counted at all
