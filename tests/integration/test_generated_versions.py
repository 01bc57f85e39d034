"""Generated versions are removed once nobody uses them, without a lock on the instances."""

from __future__ import annotations

import psycopg2
import pytest

from orchestrator.database.connection.database import Database
from orchestrator.database.workflows import generated_versions, workflow_queries
from orchestrator.database.workflows.workflow_queries import NewWorkflow
from orchestrator.ids import new_id


def deploy(database: Database, name: str, *, generated: bool = True, days: int = 8) -> str:
    """Deploy a version that was last deployed so many days ago; return its id."""
    about = {"dsl": "1.0.3", "namespace": "test", "name": name, "version": "1.0.0"}
    document = {"document": {**about, "metadata": {"generated": generated}}, "do": []}
    new = NewWorkflow(new_id(), "test", name, "1.0.0", name, document, "{}", "application/json")
    with database.transaction() as transaction:
        workflow_queries.put(transaction, new)
    return age(database, name, days)


def age(database: Database, name: str, days: int) -> str:
    rows = database.all(
        "update orchestrator.workflows set last_deployed_at = clock_timestamp() - %s * interval"
        " '1 day' where name = %s returning id::text",
        (days, name),
    )
    return str(rows[0][0])


START = (
    "select orchestrator.start_instance(%s, false, %s, null, null, '{}', clock_timestamp(), null,"
    " 1::smallint)"
)


def start(database: Database, workflow: str, status: str = "running", days: float = 0) -> str:
    """Start an instance and give it a status and an age; return the answer of the start."""
    id = new_id()
    (answer,) = database.all(START, (workflow, id))[0]
    database.all(
        "update orchestrator.instances set status = %s, created_at = created_at - %s * interval"
        " '1 day', ended_at = case when %s <> 'running' then clock_timestamp() - %s * interval"
        " '1 day' end where id = %s returning 1",
        (status, days, status, days, id),
    )
    return str(answer)


def names(database: Database) -> set[str]:
    return workflow_queries.names(database, "test")


def retired(database: Database) -> set[str]:
    rows = database.all("select name from orchestrator.workflows where retired_at is not null")
    return {row[0] for row in rows}


def hour_passes(database: Database) -> None:
    database.all(
        "update orchestrator.workflows set retired_at = retired_at - interval '61 minutes'"
        " where retired_at is not null returning 1"
    )


def test_what_nobody_uses_is_retired_then_removed(database: Database) -> None:
    deploy(database, "old")
    deploy(database, "young", days=6)
    deploy(database, "written", generated=False)
    assert generated_versions.retire(database) == 1
    assert retired(database) == {"old"}
    assert generated_versions.remove_retired(database) == 0
    hour_passes(database)
    assert generated_versions.remove_retired(database) == 1
    assert names(database) == {"young", "written"}


@pytest.mark.parametrize(
    ("status", "days", "kept"),
    [("running", 30, True), ("completed", 6, True), ("completed", 8, False)],
)
def test_an_instance_of_the_last_week_or_an_open_one_is_a_use(
    database: Database, status: str, days: float, kept: bool
) -> None:
    assert start(database, deploy(database, "used"), status, days) == "started"
    assert generated_versions.retire(database) == (not kept)


def test_a_retired_version_is_not_found_and_starts_nothing(database: Database) -> None:
    workflow = deploy(database, "old")
    generated_versions.retire(database)
    assert workflow_queries.get(database, "test", "old", "1.0.0") is None
    assert workflow_queries.get(database, "test", "old", None) is None
    assert database.all(START, (workflow, new_id())) == [("outdated",)]


def test_a_new_deployment_takes_it_back(database: Database) -> None:
    workflow = deploy(database, "old")
    generated_versions.retire(database)
    deploy(database, "old", days=0)
    assert retired(database) == set()
    assert start(database, workflow) == "started"
    assert generated_versions.retire(database) == 0


def test_renewing_takes_it_back_and_writes_once_a_day(database: Database) -> None:
    workflow = deploy(database, "old")
    generated_versions.retire(database)
    generated_versions.renew(database, workflow)
    assert retired(database) == set()
    version = "select xmin::text from orchestrator.workflows"
    before = database.all(version)
    generated_versions.renew(database, workflow)
    assert database.all(version) == before


def test_a_start_that_had_begun_before_keeps_it(database: Database, database_url: str) -> None:
    workflow = deploy(database, "old")
    other = psycopg2.connect(database_url)
    with other.cursor() as cursor:
        cursor.execute(START, (workflow, new_id()))
        assert cursor.fetchall() == [("started",)]
    assert generated_versions.retire(database) == 1  # the start is not visible yet
    assert _remove_with_no_wait(database) == 0
    other.commit()
    other.close()
    assert generated_versions.remove_retired(database) == 0
    assert retired(database) == set()
    assert "old" in names(database)


def _remove_with_no_wait(database: Database) -> int:
    """Remove what is retired, as if an hour had passed for the bound only."""
    patch = pytest.MonkeyPatch()
    patch.setattr(generated_versions, "RETIRED_FOR", "0 seconds")
    try:
        return generated_versions.remove_retired(database)
    finally:
        patch.undo()


def test_it_waits_for_no_start_and_no_start_waits_for_it(
    database: Database, database_url: str
) -> None:
    used = deploy(database, "used", days=0)
    deploy(database, "old")
    generated_versions.retire(database)
    other = psycopg2.connect(database_url)
    with other.cursor() as cursor:  # younger than the retirement
        cursor.execute(START, (used, new_id()))
        assert _remove_with_no_wait(database) == 1
    other.rollback()
    other.close()
    with database.transaction() as transaction:
        generated_versions.retire(transaction)
        generated_versions.remove_retired(transaction)
        locks = transaction.all(
            "select mode from pg_locks where relation = 'orchestrator.instances'::regclass"
            " and pid = pg_backend_pid()"
        )
    assert {mode for (mode,) in locks} <= {"AccessShareLock"}
