"""What a process does when it starts on a database whose schema it does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from orchestrator.database.connection.database import Database
from orchestrator.database.schema import upgrade
from orchestrator.database.schema.function_installer import digest
from orchestrator.embedded.supervisor import log_says
from orchestrator.errors import DatabaseUnavailable
from tests.faults.proxy import Proxy
from tests.support.stack import Stack, free_port

HEAD, LATER, LATEST = "0012", "0013", "0014"


@pytest.fixture(autouse=True)
def _release(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests' own numbers, whatever the release's."""
    monkeypatch.setattr(upgrade, "head", lambda: HEAD)


def comment(*schemas: str, functions: str = "f" * 64) -> str:
    """What an upgrade records: the schemas whose releases may work on its own."""
    return upgrade.SCHEMA_COMMENT.format(" and ".join(schemas), functions)


def version(url: str, found: str, note: str | None = "") -> str:
    """Have the database say that its schema is another one."""
    note = comment(found, functions=digest()) if note == "" else note
    database = Database(url, size=1)
    database.all("create schema if not exists orchestrator")
    database.all("create table if not exists orchestrator.schema_version (version_num text)")
    database.all("delete from orchestrator.schema_version")
    database.all("insert into orchestrator.schema_version values (%s)", (found,))
    database.all("comment on table orchestrator.schema_version is %s", (note,))
    database.close()
    return url


def refused(url: str) -> str:
    with pytest.raises(upgrade.UnknownSchema) as told:
        upgrade.check(url)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_a_missing_schema_is_refused(empty_database_url: str) -> None:
    assert refused(empty_database_url).endswith("run `orchestrator db upgrade` first")
    database = Database(empty_database_url, size=1)
    database.all("create schema orchestrator")
    database.close()
    assert "no schema" in refused(empty_database_url)


def test_an_older_schema_is_refused(empty_database_url: str) -> None:
    told = refused(version(empty_database_url, "0011"))
    assert "is 0011, and this release needs 0012: run its `orchestrator db upgrade`" in told


@pytest.mark.parametrize("found", ["0001", "0012", "0023"])
def test_development_data_from_before_the_first_release_is_refused(
    found: str, empty_database_url: str
) -> None:
    """Its numbers say nothing: the chain of migrations was another one."""
    url = version(empty_database_url, found, f"for releases of the schemas {found}")
    told = refused(url)
    assert f"development data of schema {found} from before the first release" in told
    assert "start with --fresh" in told
    with pytest.raises(upgrade.UnknownSchema, match="start with --fresh"):
        upgrade.upgrade(url)
    assert upgrade.current(url) == found


def test_tables_without_a_version_are_refused(empty_database_url: str) -> None:
    database = Database(empty_database_url, size=1)
    database.all("create schema orchestrator; create table orchestrator.instances (id uuid)")
    database.close()
    with pytest.raises(upgrade.UnknownSchema, match=r"without a version.*start with --fresh"):
        upgrade.upgrade(empty_database_url)


def test_an_empty_schema_is_upgraded(empty_database_url: str) -> None:
    """An administrator may have made it, for a user who may not."""
    database = Database(empty_database_url, size=1)
    database.all("create schema orchestrator")
    database.close()
    upgrade.upgrade(empty_database_url)


def test_other_functions_than_those_of_the_schema_are_refused(empty_database_url: str) -> None:
    told = refused(version(empty_database_url, HEAD, comment(HEAD)))
    assert f"functions of the database's schema {HEAD} are not those of this release" in told


def test_that_of_the_release_before_is_not(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "PREVIOUS", "0010")
    upgrade.check(version(empty_database_url, "0010"))
    assert refused(version(empty_database_url, "0011"))


def test_a_newer_schema_is_refused_unless_it_admits_this_release(empty_database_url: str) -> None:
    url = empty_database_url
    assert "none after 0012" in refused(version(url, LATER))
    upgrade.check(version(url, LATER, comment(HEAD, LATER)))
    told = refused(version(url, LATEST, comment(LATER, LATEST)))
    assert "start the release that upgraded it" in told


def test_an_upgrade_by_this_release_leaves_a_newer_schema_alone(empty_database_url: str) -> None:
    url = version(empty_database_url, LATER)
    with pytest.raises(upgrade.UnknownSchema, match="none after"):
        upgrade.upgrade(url)
    upgrade.upgrade(version(url, LATER, comment(HEAD, LATER)))
    assert upgrade.current(url) == LATER


def test_the_upgrade_records_the_release_before(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(upgrade, "PREVIOUS", "0000")
    upgrade.upgrade(empty_database_url)
    newest = upgrade.current(empty_database_url)
    assert newest == upgrade.head()
    # The release before may work on it, an older one may not.
    monkeypatch.setattr(upgrade, "head", lambda: "0000")
    upgrade.check(empty_database_url)
    monkeypatch.setattr(upgrade, "head", lambda: "000")
    assert f"is {newest}" in refused(empty_database_url)


def test_a_database_that_is_away_is_no_answer() -> None:
    with pytest.raises(DatabaseUnavailable):
        upgrade.check(f"postgresql://nobody@127.0.0.1:{free_port()}/none")


PROGRAMS: dict[str, tuple[str, ...]] = {
    "api": ("-m", "orchestrator.cli", "api"),
    "worker": ("-m", "orchestrator.cli", "worker"),
    "beat": ("-m", "orchestrator.cli", "beat"),
    "users' worker": ("-m", "celery", "-A", "tests.celery_apps.steps", "worker", "-l", "INFO"),
    "users' beat": ("-m", "celery", "-A", "tests.celery_apps.steps", "beat", "-S", "orchestrator"),
}
SLOW = {name: () if name == "api" else (pytest.mark.slow,) for name in PROGRAMS}


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW[name]) for name in PROGRAMS])
def test_no_program_starts_on_an_unknown_schema(
    name: str, tmp_path: Path, empty_database_url: str, broker_url: str
) -> None:
    with Stack(tmp_path, empty_database_url, broker_url, api_port=free_port()) as stack:
        process = stack.spawn("program", *PROGRAMS[name])
        assert process.wait(60) == 2
    (told,) = [line for line in _lines(tmp_path) if line.startswith("error")]
    assert "run `orchestrator db upgrade` first" in told
    assert "Traceback" not in "".join(_lines(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_waits_for_a_database_that_is_away(
    name: str, tmp_path: Path, broker_url: str
) -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    settings: dict[str, Any] = {"database_url": nowhere, "broker_url": broker_url}
    ready = {"worker": " ready.", "beat": "outage_began", "api": "Booting worker"}
    signs = {**ready, "users' worker": " ready.", "users' beat": "Postgres is unavailable"}
    with Stack(tmp_path, **settings, api_port=free_port()) as stack:
        process = stack.spawn("program", *PROGRAMS[name], ready=log_says(signs[name]))
        assert process.running
        assert "Postgres is unavailable" in process.log_since_start()


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program_goes_on_when_the_database_comes_back_with_an_unknown_schema(
    name: str, tmp_path: Path, empty_database_url: str, broker_url: str
) -> None:
    """They look at their first connection: here everything is away at first."""
    at = urlsplit(empty_database_url)
    ready = {"worker": " ready.", "beat": "outage_began", "api": "Booting worker"}
    signs = {**ready, "users' worker": " ready.", "users' beat": "Postgres is unavailable"}
    with Proxy(at.port or 5432) as proxy:
        proxy.mode = "swallow"
        user = at.netloc.rpartition("@")[0]
        url = at._replace(netloc=f"{user}@127.0.0.1:{proxy.port}").geturl()
        with Stack(tmp_path, url, broker_url, api_port=free_port()) as stack:
            process = stack.spawn("program", *PROGRAMS[name], ready=log_says(signs[name]))
            assert "Postgres is unavailable" in process.log_since_start()
            proxy.mode = "pass"
            proxy.cut()
            assert process.wait(60) == 2
    (told,) = [line for line in _lines(tmp_path) if line.startswith("error")]
    assert told.endswith("run `orchestrator db upgrade` first")


@pytest.mark.parametrize("known", [True, False])
def test_a_database_is_looked_at_until_it_was_found_to_be_ours(
    known: bool, empty_database_url: str
) -> None:
    if known:
        version(empty_database_url, HEAD)
    database = Database(empty_database_url, on_connect=upgrade.check_connection)
    for _ in range(2):
        if known:
            assert database.one("select 1") == (1,)
            version(empty_database_url, LATER)  # which whoever works already goes on with
        else:
            with pytest.raises(upgrade.UnknownSchema):
                database.one("select 1")
    database.close()


def _lines(folder: Path) -> list[str]:
    return (folder / "program.log").read_text().splitlines()
