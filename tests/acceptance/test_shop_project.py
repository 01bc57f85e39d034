"""The shop as its own Celery project: one line, `install(app)`, and Celery's own worker."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.dev import CLI, SHOP, Dev, environment

GOOD = '{"id": "o-1", "item": "lamp", "quantity": 2, "card": "gold"}'
DECLINED = '{"id": "o-2", "item": "lamp", "quantity": 2, "card": "nearly-empty"}'


@pytest.mark.slow
def test_celerys_own_worker_runs_the_saga(tmp_path: Path):
    dev = Dev(tmp_path / "data", "--workers", "0")
    where = environment(
        ORCHESTRATOR_API_URL=dev.address,
        ORCHESTRATOR_DATABASE_URL=dev.json["database_url"],
        ORCHESTRATOR_BROKER_URL=dev.json["broker_url"],
    )

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, cwd=SHOP, env=where, capture_output=True, text=True)

    assert run(sys.executable, "-m", "shop.tables", "create").returncode == 0
    with (tmp_path / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "shop.app", "worker", "-c", "2"],
            cwd=SHOP,
            env=where,
            stdout=log,
            stderr=log,
        )
    try:
        assert run(*CLI, "run", "order.yaml", "-i", GOOD).returncode == 0
        assert run(*CLI, "run", "order.yaml", "-i", DECLINED).returncode == 8
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
        assert dev.stop(signal.SIGTERM) == 0
