"""A health check for supervisors of containers: ``python -m
orchestrator.execution.entry_points.health_check``.

Exits 0 if a worker on this host sends heartbeats, and 1 if none does. It also exits 0 while
Postgres is unavailable: restarting workers would not bring Postgres back.
"""

from __future__ import annotations

import socket
import sys

from orchestrator.database.connection.database import Database
from orchestrator.database.workers.liveness_queries import has_live_worker
from orchestrator.errors import DatabaseUnavailable
from orchestrator.settings import load_settings


def main() -> int:
    """Print the result on standard error and return the exit status."""
    settings = load_settings()
    database = Database(settings.database_url, size=1)
    try:
        alive = has_live_worker(database, socket.gethostname(), settings.lease)
    except DatabaseUnavailable as error:
        print(f"Postgres does not answer: {error}", file=sys.stderr)  # noqa: T201  a command's output
        return 0
    finally:
        database.close()
    print("a worker is alive" if alive else "no worker is alive", file=sys.stderr)  # noqa: T201
    return 0 if alive else 1


if __name__ == "__main__":
    sys.exit(main())
