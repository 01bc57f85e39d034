"""A sample of the execution tests on the oldest supported Celery, and on the newest there is.

The newest is whatever resolves: a release that changes what the product hooks into fails here.
`python -m tests.compatibility` runs all tests on all versions.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.compatibility.page import Row, read, write
from tests.compatibility.versions import CELERY, OF_ITS_TIME, runs

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "chosen", [("--celery", "5.3.6", "--only", "of-its-time", "--broker", "redis"), ("--newest",)]
)
def test_a_sample_of_the_execution_tests(chosen: tuple[str, ...], tmp_path: Path) -> None:
    selected = "celery_versions or prefork or dispatcher or (threads and retry)"
    argv = ("-m", "tests.compatibility", "--sample", *chosen, "--", "-k", selected)
    done = subprocess.run(
        [sys.executable, *argv, f"--basetemp={tmp_path / 'inner'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-20_000:]}"


def test_every_version_runs_with_the_libraries_of_its_time_and_with_the_newest() -> None:
    chosen = runs(CELERY)
    for version in CELERY:
        others = [run.others for run in chosen if run.celery == version and run.broker == "redis"]
        assert others == [OF_ITS_TIME[version], ()]
    on_rabbitmq = {run.celery for run in chosen if run.broker == "rabbitmq"}
    assert on_rabbitmq == {CELERY[0], CELERY[-1]}


def test_a_run_replaces_its_own_row_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text((ROOT / "docs/operations/compatibility.md").read_text())
    before = read(page.read_text())
    row = Row("5.1.0", "5.1.0", "4.0.0", "5.0.0", "3.11.7", "redis", 1, 2, 3, "2026-01-01")
    write(page, [row])
    write(page, [Row(**{**vars(row), "passed": 9})])
    found = read(page.read_text())
    assert [each for each in found if each.celery != "5.1.0"] == before
    assert [each.passed for each in found if each.celery == "5.1.0"] == [9]
    assert page.read_text().endswith("exists since 5.6.\n"), "the text after the table stays"
