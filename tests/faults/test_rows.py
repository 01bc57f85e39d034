"""Three rows of the fault matrix, tiny: `make chaos` runs all of them for longer."""

from __future__ import annotations

import pytest

from tests.faults import fuzz, matrix
from tests.faults.recovering import SLOW
from tests.faults.rows import ROWS

NAMES = ("kill -9 of a worker's child", "FLUSHALL", "the reply of a COMMIT is lost")


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


def test_rows_have_names_of_their_own():
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_seconds_of_fuzzing():
    figures = fuzz.run(10, 4711)
    assert figures["failed"] == {}
    assert all(figures["targets"].values())
