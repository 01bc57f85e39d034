"""A few rows of the fault matrix, tiny: `make chaos` runs all of them for longer."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from orchestrator.database.schema import upgrade
from tests.faults import fuzz, matrix, mutants
from tests.faults.recovery_times import SLOW
from tests.faults.rows import ROWS, upgrades

NAMES = (
    "kill -9 of a worker's child",
    "FLUSHALL",
    "FLUSHALL; no continuation",
    "the reply of a COMMIT is lost",
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_the_matrix(name):
    (row,) = (row for row in ROWS if row.name == name)
    (outcome,) = matrix.run([row], full=False, until=None, seed=1, longest=25)
    # How quickly it recovers is measured where nothing else runs.
    found = {name: told for name, told in outcome.problems.items() if name not in SLOW}
    assert found == {}
    assert outcome.not_run is None


def test_what_the_next_release_changes_is_there():
    for file, old, _ in upgrades.CHANGES:
        assert (mutants.ROOT / "orchestrator" / file).read_text().count(old) == 1


@pytest.mark.slow
def test_the_next_release_and_this_one_work_on_its_schema(tmp_path, database_url):
    folder = tmp_path / "row"
    folder.mkdir()
    env = {**os.environ, **upgrades.make_releases(folder), "STACK_PROCESS": "it"}
    env["ORCHESTRATOR_DATABASE_URL"] = database_url
    (folder / "it.release").write_text(str(folder / "tree"))
    for argv in (("-m", "orchestrator.cli", "db", "upgrade"), ("-c", RELEASE)):
        ran = subprocess.run(
            [sys.executable, *argv], cwd=folder, env=env, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == [upgrades.SCHEMA, upgrade.head(), str(upgrades.NEXT)]
    assert upgrade.current(database_url) == upgrades.SCHEMA
    upgrade.check(database_url)  # this release is admitted


RELEASE = """\
from orchestrator.core.engine_version import ENGINE
from orchestrator.database.schema.upgrade import PREVIOUS, head
print(head(), PREVIOUS, ENGINE)
"""


def test_rows_have_names_of_their_own():
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_seconds_of_fuzzing():
    figures = fuzz.run(10, 4711)
    assert figures["failed"] == {}
    assert all(figures["targets"].values())
