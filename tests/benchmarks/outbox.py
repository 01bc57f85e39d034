"""``python -m tests.benchmarks.outbox``: how long after the commit a submitted start is under way.

An API, a worker and a beat at rest, on servers of their own. 200 starts one after the other, each
measured from the return of the commit to the database's time of the instance's first transition:
with the hint after the commit, with NOTIFY in the transaction, and with neither.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2

from orchestrator.database.access import outbox_grants
from orchestrator.database.connection.database import Database
from orchestrator.database.schema import upgrade
from orchestrator.embedded import Postgres, Valkey
from orchestrator.outbox import hint, start_in
from tests.support.api import document
from tests.support.stack import Stack

COUNT = 200


def started_after(stack: Stack, connection: Any, how: str) -> float:
    """Milliseconds from the commit to the start."""
    id = start_in(connection, "shop/order", notify=how == "notify")
    connection.commit()
    committed = time.time()
    if how == "hint":
        hint(connection)
    while True:
        found = stack.sql(
            "select extract(epoch from started_at)::float8 from orchestrator.instances"
            " where id = %s and started_at is not null",
            id,
        )
        if found:
            return max(0.0, 1000 * (found[0][0] - committed))
        time.sleep(0.002)


def main() -> None:
    """Print a line for each way."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        with Postgres(here / "postgres") as postgres, Valkey(here / "valkey") as valkey:
            upgrade.upgrade(postgres.url)
            database = Database(postgres.url)
            login = outbox_grants.session_login(database)
            grants = outbox_grants.grant_statements(database, login, "shop", 100_000)
            outbox_grants.execute(database, grants)
            database.close()
            with Stack(here, postgres.url, valkey.url) as stack:
                stack.api()
                stack.worker(concurrency=2)
                stack.beat()
                stack.deploy(document("order"))
                with closing(psycopg2.connect(postgres.url)) as connection:
                    for how, count in (("hint", COUNT), ("notify", COUNT), ("neither", COUNT // 5)):
                        took = sorted(started_after(stack, connection, how) for _ in range(count))
                        print(
                            f"{how}: median {statistics.median(took):.1f} ms,"
                            f" p95 {took[int(len(took) * 0.95)]:.1f} ms, most {took[-1]:.1f} ms"
                        )


if __name__ == "__main__":
    main()
