"""DBOS beside us, on the same Postgres, where the extra `bench` is installed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

#: Why it is not measured; empty where it is.
missing = (
    "" if importlib.util.find_spec("dbos") else "DBOS is not measured: install the extra `bench`"
)
_APP = Path(__file__).parent / "apps" / "dbos_app.py"


def measure(database_url: str, runs: int) -> dict[str, float]:
    """Its W1 to W4 in a database of its own on this server; nothing where it fails."""
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("create database dbos_bench")
    connection.close()
    url = urlsplit(database_url)._replace(path="/dbos_bench").geturl()
    ran = subprocess.run(
        [sys.executable, str(_APP), url, str(runs)], capture_output=True, text=True, check=False
    )
    if ran.returncode:
        print(f"DBOS could not be measured:\n{ran.stderr}")
        return {}
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found
