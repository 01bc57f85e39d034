"""Speed at size: every list, filter, get and count of the API, over rows by the million.

`python -m tests.benchmarks.size` makes 1,000,000 instances and 10,000,000 steps, which takes
about ten minutes and 12 GB, asks everything and prints a table; each answer must come within
100 ms in the median. SIZE=10000 is quick. DATA=folder keeps the database there and finds it
again. PAGE=1 writes docs/implementation/database_optimization.md, with the plans of the
statements; OUT=file.json the figures; ONLY=expression asks only what it matches.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from api.resources.api_keys import new_key
from orchestrator.database.access import api_key_queries
from orchestrator.database.connection.database import Database
from orchestrator.database.schema import upgrade
from orchestrator.embedded import Postgres
from tests.benchmarks import size_page, size_rows
from tests.benchmarks.size_cases import CASES, NAMED, PAGED, SCOPED
from tests.support.api import Api

SIZE = int(os.environ.get("SIZE", "1000000"))
STEPS = int(os.environ.get("STEPS", "10"))
RUNS = int(os.environ.get("RUNS", "15"))
#: What each answer may take in the median, in ms.
BOUND = 100.0

#: A server of a size that fits the data; what is generated need not survive a power cut.
SERVER = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "maintenance_work_mem": "512MB",
    "checkpoint_timeout": "30min",
    "jit": "off",
}


@dataclass
class Asked:
    """One question: how long the answers took, in ms, and what was asked of Postgres."""

    title: str
    path: str
    times: list[float] = field(default_factory=list)
    statements: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Of the times."""
        return statistics.median(self.times)


@contextmanager
def filled() -> Iterator[str]:
    """The URL of a database with all the rows."""
    folder = Path(os.environ.get("DATA") or tempfile.mkdtemp(prefix="size"))
    made = (folder / "cluster").exists()
    with Postgres(folder, fsync=False, settings=SERVER) as server:
        upgrade.upgrade(server.url)
        if not made:
            size_rows.fill(server.url, SIZE, STEPS, lambda said: print(said, flush=True))
        yield server.url


def api_for(url: str, *namespaces: str) -> Api:
    """The API asked with a key for these namespaces."""
    api = Api.on(url, "redis://127.0.0.1:1/0", authenticate=True)
    row, key = new_key({"name": "bench", "role": "admin", "namespaces": list(namespaces)})
    api_key_queries.put(api.database, row)
    api.headers["Authorization"] = f"Bearer {key}"
    return api


def names(database: Database) -> dict[str, str]:
    """The rows and times that questions name."""
    ((size,),) = database.all("select max(n) from size_instances")
    asked = {name: database.one(sql, {"middle": size // 2}) for name, sql in NAMED.items()}
    return {name: quote(_text(row[0])) for name, row in asked.items() if row}


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def ask(api: Api, title: str, path: str, pages: int = 1) -> Asked:
    """Ask a question as often as `RUNS` says, after once to warm up; of the last page the
    statements are noted."""
    for _ in range(pages - 1):
        found = _get(api, path)
        if found["next"] is None:
            break  # a small table has no more
        path = _with_cursor(path, found["next"])
    asked = Asked(title, path)
    with _overheard(api.database, asked.statements):
        _get(api, path)
    for _ in range(RUNS):
        began = time.perf_counter()
        _get(api, path)
        asked.times.append((time.perf_counter() - began) * 1000)
        if sum(asked.times) > BOUND * RUNS * 4:
            break  # it is far too slow, whatever the rest take
    return asked


def _with_cursor(path: str, cursor: str) -> str:
    plain = re.sub(r"[?&]cursor=[^&]*", "", path)
    return f"{plain}{'&' if '?' in plain else '?'}cursor={cursor}"


def _get(api: Api, path: str) -> Any:
    answer: Any = api.client.get(path, headers=api.headers)
    if answer.status_code != 200:
        raise AssertionError(f"{path}: {answer.status_code} {answer.text[:300]}")
    return json.loads(answer.data)


@contextmanager
def _overheard(database: Database, heard: list[tuple[str, Any]]) -> Iterator[None]:
    """Note the statements that go through a database."""
    all_of = database.all

    def noted(sql: str, params: Any = ()) -> Any:
        heard.append((sql, params))
        return all_of(sql, params)

    database.all = noted  # type: ignore[method-assign]
    try:
        yield
    finally:
        del database.all  # the class's own shows again


def measure(url: str) -> list[Asked]:
    """Ask everything."""
    everywhere, scoped = api_for(url, "*"), api_for(url, "team-3")
    known = names(everywhere.database)
    only = os.environ.get("ONLY", "")
    asked = [
        *(_one(everywhere, title, path, known, only) for title, path in CASES.items()),
        *(_one(everywhere, f"{t}, page 10", p, known, only, 10) for t, p in PAGED.items()),
        *(_one(scoped, f"a small key's: {t}", p, known, only) for t, p in SCOPED.items()),
    ]
    everywhere.close()
    scoped.close()
    return [one for one in asked if one]


def _one(
    api: Api, title: str, path: str, known: dict[str, str], only: str, pages: int = 1
) -> Asked | None:
    if not re.search(only, title):
        return None
    asked = ask(api, title, path.format(**known), pages)
    mark = "" if asked.median <= BOUND else "  <-- too slow"
    print(f"{asked.median:8.1f} ms  {title}{mark}", file=sys.stderr, flush=True)
    return asked


def report(asked: list[Asked]) -> None:
    """Print the table."""
    table = Table("question", "median, ms", "slowest, ms")
    for one in sorted(asked, key=lambda one: -one.median):
        table.add_row(one.title, f"{one.median:.1f}", f"{max(one.times):.1f}")
    Console(width=120).print(table)
    slow = sum(one.median > BOUND for one in asked)
    print(f"{len(asked)} questions; {slow} take more than {BOUND:.0f} ms in the median")


def main() -> None:
    """Fill, ask, report."""
    with filled() as url:
        asked = measure(url)
        report(asked)
        if os.environ.get("PAGE"):
            size_page.write(url, asked, SIZE)
    if os.environ.get("OUT"):
        figures = {one.title: {"median_ms": one.median, "path": one.path} for one in asked}
        Path(os.environ["OUT"]).write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
