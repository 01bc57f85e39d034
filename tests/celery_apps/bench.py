"""The benchmark's tasks in a user's app with `install(app)`."""

from __future__ import annotations

import os

# Replace the broker on which the parent process has measured raw Celery.
os.environ["BENCH_BROKER_URL"] = os.environ["ORCHESTRATOR_BROKER_URL"]

from orchestrator import install
from tests.benchmarks.apps import bench_tasks

app = bench_tasks.app
install(app)
