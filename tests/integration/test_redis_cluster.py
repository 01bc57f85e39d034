"""A Redis Cluster as the broker: one clear line, and the worker ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orchestrator.embedded import Valkey
from tests.support.dev import environment


class Cluster(Valkey):
    """A Valkey server in cluster mode."""

    def _config(self) -> list[str]:
        return [*super()._config(), "cluster-enabled yes"]


def test_a_worker_names_the_cluster_and_ends(tmp_path: Path, database_url: str) -> None:
    with Cluster(tmp_path / "cluster") as server:
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator.cli", "worker", "-c", "1"],
            env=environment(
                ORCHESTRATOR_BROKER_URL=server.url, ORCHESTRATOR_DATABASE_URL=database_url
            ),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode != 0
    assert "is a Redis Cluster, which Celery cannot use as a broker" in done.stderr
    assert server.password not in done.stderr
    assert "Traceback" not in done.stderr
