"""What the processes that serve carry along: nothing of what only commands or others need."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.embedded.supervisor import log_says
from tests.support.documents import doc
from tests.support.stack import Stack

#: What Python says of each import (PYTHONPROFILEIMPORTTIME), in whatever process it happens.
IMPORT = re.compile(r"import time:\s+\d+ \|\s+\d+ \|\s+([\w.]+)")
#: Celery's command line loads its plugins, and Flower and a shell with them; SQLAlchemy is for
#: migrations.
NEEDLESS = {
    *("celery.bin.celery", "flower", "tornado", "click_repl", "prompt_toolkit"),
    *("sqlalchemy", "alembic"),
}

TASKS = """
from celery import shared_task

@shared_task(name="rest.plain")
def plain():
    return {"ran": True}
"""


def test_the_command_line_itself_loads_neither_the_client_nor_the_screen() -> None:
    code = "import sys, orchestrator.cli.server.server_processes; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "click" in loaded
    assert not {"httpx2", "rich", "celery", "structlog", "sqlalchemy"}.intersection(loaded)


@pytest.mark.slow
def test_what_serves_carries_nothing_that_only_others_need(
    tmp_path: Path, database_url: str, broker_url: str
) -> None:
    ours = ("-m", "orchestrator.cli")
    with Stack(tmp_path, database_url, broker_url) as stack:
        seen = {"PYTHONPROFILEIMPORTTIME": "1"}
        stack.api(**seen)
        stack.spawn("beat", *ours, "beat", env=seen, ready=log_says("beat: Starting"))
        (tmp_path / "tasks.py").write_text(TASKS)
        more = {**seen, "ORCHESTRATOR_IMPORTS": "tasks"}
        stack.spawn("worker", *ours, "worker", "-c", "1", env=more, ready=log_says(" ready."))
        ran = stack.run(doc({"one": {"call": "rest.plain", "with": {}}}))
        assert ran["status"] == "completed", ran
    for name in ("api", "beat", "worker"):
        loaded = set(IMPORT.findall((tmp_path / f"{name}.log").read_text()))
        assert "orchestrator.bootstrap" in loaded, name
        assert not NEEDLESS.intersection(loaded), name
        if name == "beat":  # which validates nothing, and has had nothing to send
            assert not {"httpx2", "jsonschema_rs"}.intersection(loaded)
        if name != "worker":  # which runs users' code
            # The names alone are told of imports that found nothing, too.
            assert not {"rich.console", "pygments.lexer"}.intersection(loaded), name
