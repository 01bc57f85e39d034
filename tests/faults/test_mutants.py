"""Every mutant is killed by the test that it names."""

from __future__ import annotations

import pytest

from tests.faults import mutants


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_mutant_is_killed() -> None:
    results = mutants.run(list(mutants.MUTANTS))
    assert [one["mutant"] for one in results if not one["killed"]] == []


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_replaces_is_there(mutant: mutants.Mutant) -> None:
    assert (mutants.ROOT / mutant.file).read_text().count(mutant.old) == 1
