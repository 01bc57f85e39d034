"""The function files are what runs, however the database got its schema."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg2.errors
import pytest
import sqlalchemy as sa

from orchestrator.database.connection.database import Database
from orchestrator.database.connection.postgres_url import for_sqlalchemy
from orchestrator.database.schema import upgrade
from orchestrator.database.schema.function_installer import (
    SignatureChanged,
    digest,
    install_functions,
    read_functions,
)
from orchestrator.embedded.binaries import postgres_bin
from tests.support.schema_functions import (
    IN_MIGRATIONS,
    RELEASED,
    careless,
    definitions,
    load,
)

ADD = """\
create or replace function orchestrator.add({}) returns int
language plpgsql set enable_seqscan = off as $$ begin return {}; end $$;
"""


def install(url: str, folder: Path, files: dict[str, str]) -> None:
    """Install a release whose function files are these."""
    for old in folder.rglob("*.sql"):
        old.unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    engine = sa.create_engine(for_sqlalchemy(url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        install_functions(connection, folder)


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    database = Database(url, size=1)
    try:
        return database.all(statement)
    finally:
        database.close()


def test_every_function_has_a_file_or_an_index(database_url: str) -> None:
    names = {signature.partition("(")[0] for signature in definitions(database_url)}
    assert names == set(read_functions()) | IN_MIGRATIONS


def test_a_changed_body_is_replaced(database_url: str) -> None:
    whole = definitions(database_url)
    changed = whole["next_due()"].partition("AS $function$")[0]
    execute(database_url, changed + "as $$ begin return null; end $$")
    execute(database_url, "alter function orchestrator.next_due() reset enable_seqscan")
    assert definitions(database_url) != whole
    upgrade.upgrade(database_url)
    assert definitions(database_url) == whole


def test_an_older_release_leaves_the_functions_of_a_newer_schema(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    comment = upgrade.SCHEMA_COMMENT.format(f"{upgrade.head()} and 9999", "0" * 64)
    execute(database_url, "update orchestrator.schema_version set version_num = '9999'")
    execute(database_url, f"comment on table orchestrator.schema_version is '{comment}'")
    execute(
        database_url,
        "create or replace function orchestrator.next_due() returns timestamptz"
        " language plpgsql as $$ begin return null; end $$",
    )
    newer = definitions(database_url)
    upgrade.upgrade(database_url)
    assert definitions(database_url) == newer


def test_a_changed_signature_is_refused(database_url: str, tmp_path: Path) -> None:
    """An overload would make each call of the other release ambiguous."""
    install(database_url, tmp_path, {"add.sql": ADD.format("a int, b int", "a + b")})
    before = definitions(database_url)
    with pytest.raises(SignatureChanged, match="add: the parameters differ"):
        install(database_url, tmp_path, {"add.sql": ADD.format("a int, b int, c int", "a + b")})
    with pytest.raises(sa.exc.ProgrammingError) as refused:
        install(database_url, tmp_path, {"add.sql": ADD.format("a int, c int", "a + c")})
    assert isinstance(refused.value.orig, psycopg2.errors.InvalidFunctionDefinition)
    assert definitions(database_url) == before


def test_a_previous_function_goes_one_release_later(database_url: str, tmp_path: Path) -> None:
    """The one before still calls it; and what the upgrade did not install it does not drop."""
    old, new = ADD.format("a int, b int", "a + b"), ADD.format("a int", "a + 1")
    new = new.replace("orchestrator.add", "orchestrator.increase")
    execute(database_url, "create function orchestrator.theirs() returns int return 1")
    install(database_url, tmp_path, {"add.sql": old})
    install(database_url, tmp_path, {"previous/add.sql": old, "increase.sql": new})
    both = "select orchestrator.add(1, 2), orchestrator.increase(1)"
    assert execute(database_url, both) == [(3, 2)]
    install(database_url, tmp_path, {"increase.sql": new})
    left = definitions(database_url)
    in_migrations = {"searchable_json(payload json)", "error_type(error json)"}
    assert left.keys() == {"increase(a integer)", "theirs()"} | in_migrations


def test_no_function_is_careless(database_url: str, tmp_path: Path) -> None:
    assert careless(database_url) == {}
    defaulted = ADD.format("a int, b int default 1", "a + b")
    unset = read_functions()["next_due"].replace(" set enable_seqscan = off", "")
    install(database_url, tmp_path, {"add.sql": defaulted, "next_due.sql": unset})
    found = {"add": "a defaulted parameter", "next_due": "no set enable_seqscan = off"}
    assert careless(database_url) == found


def test_each_released_schema_becomes_the_new_one(
    database_url: str, empty_database_url: str
) -> None:
    dumps = sorted(RELEASED.glob("*.sql"))
    if not dumps:
        pytest.skip(f"no schema has been released yet: {RELEASED.name} has no dump")
    new = definitions(database_url)
    for dump in dumps:
        execute(
            empty_database_url, "drop schema if exists orchestrator, orchestrator_outbox cascade"
        )
        load(empty_database_url, dump.read_text())
        upgrade.upgrade(empty_database_url)
        assert definitions(empty_database_url) == new, dump.stem


def test_a_dump_is_a_whole_schema(database_url: str, empty_database_url: str) -> None:
    """As README.md of the released schemas makes it: today's, which needs no upgrade."""
    made = subprocess.run(
        [
            str(postgres_bin(None) / "pg_dump"),
            *("--no-owner", "--schema-only", "--schema", "orchestrator*", database_url),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    version = f"insert into orchestrator.schema_version values ('{upgrade.head()}')"
    load(empty_database_url, f"{made.stdout}\n{version}")
    assert f"; functions {digest()}'" in made.stdout
    upgrade.check(empty_database_url)
    assert definitions(empty_database_url) == definitions(database_url)
