"""The files of the Postgres functions, and their digest as a part of the schema's version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.database.schema import upgrade
from orchestrator.database.schema.function_installer import (
    FOLDER,
    digest,
    qualified,
    read_functions,
)
from orchestrator.errors import ConfigurationError
from tests.support.schema_functions import DIGESTS, RELEASED, recorded_digests


def test_changed_functions_have_a_new_migration_number():
    recorded = recorded_digests()
    assert max(recorded) == upgrade.head(), f"{DIGESTS.name} has no line of the last migration"
    assert recorded[upgrade.head()] == digest(), (
        "The functions have changed. If the schema was released, this needs a new migration and a"
        f" line in {DIGESTS.name}; else change its last line to: {upgrade.head()} {digest()}"
    )


def test_a_released_digest_never_changes():
    for dump in RELEASED.glob("*.sql"):
        assert f"; functions {recorded_digests()[dump.stem]}'" in dump.read_text(), dump.stem


def test_the_digest_is_that_of_every_file(tmp_path: Path):
    def after(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        digest.cache_clear()
        return digest(tmp_path)

    (tmp_path / "previous").mkdir()
    seen = [after("one.sql", "1"), after("one.sql", "2"), after("two.sql", "2")]
    seen += [after("previous/three.sql", ""), after("previous/three.sql", "3")]
    digest.cache_clear()
    assert len(set(seen)) == len(seen)


def test_a_name_has_one_file(tmp_path: Path):
    (tmp_path / "previous").mkdir()
    for name in ("one.sql", "previous/one.sql"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigurationError, match="one has two files"):
        read_functions(tmp_path)


@pytest.mark.parametrize("name", read_functions())
def test_a_file_makes_the_function_of_its_name(name: str):
    made = re.findall(r"^create .*?(?=\()", read_functions()[name], re.MULTILINE)
    assert made == [f"create or replace function {qualified(name)}"]


def test_there_are_functions():
    assert len(list(FOLDER.glob("*.sql"))) > 10
