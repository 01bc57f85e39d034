"""Requests that schemathesis makes up from the API's own description, against the real server:
no failure, no undocumented answer, nothing wrong accepted, nothing right refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.embedded.supervisor import http_ok
from tests.support.api import Api
from tests.support.stack import Stack, free_port

#: The least number of generated requests; `make chaos` has 20,000.
CASES = int(os.environ.get("ORCHESTRATOR_TEST_CASES", "1500"))
CONFIGURATION = Path(__file__).parents[1] / "support" / "schemathesis.toml"

#: The server with authentication on, though it binds to loopback. It writes its first key.
GUARDED = """\
import sys
from api.resources.api_keys import new_key
from api.server.gunicorn_server import Server
from orchestrator.database.access import api_key_queries
from orchestrator.database.connection.database import Database
from orchestrator.settings import load_settings

settings = load_settings()
database = Database(settings.database_url)
row, shown = new_key({"name": "root", "role": "admin", "namespaces": ["*"]})
api_key_queries.put(database, row)
database.close()
open(sys.argv[1], "w").write(shown)
Server(settings, authenticate=True).run()
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path, module_database_url: str, broker_url: str) -> Iterator[tuple[str, str]]:
    """The address of the server and a key that opens everything."""
    url = f"http://127.0.0.1:{free_port()}"
    key = tmp_path / "key"
    with Stack(tmp_path, module_database_url, broker_url) as stack:
        env = {"ORCHESTRATOR_API_PORT": url.rpartition(":")[2]}
        ready = http_ok(f"{url}/readyz")
        stack.spawn("api", "-c", GUARDED, str(key), env=env, ready=ready)
        yield url, key.read_text()


@pytest.mark.timeout(2400)
def test_generated_requests(server: tuple[str, str], tmp_path: Path):
    url, key = server
    command = [
        *(Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIGURATION),
        *("run", f"{url}/openapi.json", "-H", f"Authorization: Bearer {key}"),
        *("--continue-on-failure", "--warnings", "off", "--request-timeout", "70"),
        *("-n", str(max(CASES // 60, 1)), "--seed", "1"),
    ]
    done = subprocess.run(
        list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    told = done.stdout
    assert done.returncode == 0, told[-8000:]
    found = re.search(r"([\d,]+) generated", told)
    assert found, told[-2000:]
    assert int(found.group(1).replace(",", "")) >= CASES


def test_the_description_is_openapi_3_1(api: Api):
    spec = api.description.spec
    assert spec["openapi"] == "3.1.0"
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            if method != "parameters":
                told = (path, method, operation)
                assert operation["summary"], told
                assert {"401", "403", "500", "503"} <= set(operation["responses"]), told
