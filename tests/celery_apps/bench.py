"""The benchmark's tasks as a users' app with one line of ours."""

from __future__ import annotations

import os

# Whatever raw Celery was measured on before, in the process that starts this one.
os.environ["BENCH_BROKER_URL"] = os.environ["ORCHESTRATOR_BROKER_URL"]

from orchestrator import install
from tests.benchmarks.apps import bench_tasks

app = bench_tasks.app
install(app)
