"""The lower bounds of pyproject.toml are true: the quick tests of a worker pass on them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.environments import clean_environment
from tests.support.stack import ROOT


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_worker_runs_on_the_lowest_versions(tmp_path: object) -> None:
    """By the session of noxfile.py; its environment is removed afterwards."""
    python = "{}.{}".format(*sys.version_info)
    argv = ["--envdir", f"{tmp_path}", "--error-on-missing-interpreters", "--no-color"]
    done = subprocess.run(
        [sys.executable, "-m", "nox", *argv, "-s", f"worker-{python}(lowest, 5.3)"],
        cwd=ROOT,
        env={
            **clean_environment(),
            "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    assert " passed" in done.stdout
