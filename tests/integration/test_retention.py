"""Instances that ended long ago: archived whole, then removed; never removed unarchived."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator import ids
from orchestrator.database.connection.database import UNBOUNDED
from orchestrator.database.instances import expired_instances as statements
from orchestrator.scheduler.instance_archive import (
    BUSY_INTERVAL,
    IDLE_INTERVAL,
    InstanceArchive,
    RetentionJob,
    retention_jobs,
)
from orchestrator.settings import Settings
from tests.support.api import Api, document, problem
from tests.support.stack import ROOT

AGE = timedelta(days=30)


@pytest.fixture
def shop(api: Api) -> Api:
    api.deploy(document())
    return api


@pytest.fixture
def keeper(shop: Api, tmp_path: Path) -> RetentionJob:
    return RetentionJob(shop.database, AGE, InstanceArchive(tmp_path / "archive"))


def ended(api: Api, days: float = 31, steps: int = 2, **columns: Any) -> str:
    """An instance that was completed so long ago, with steps, attempts and history."""
    id = ids.new_id()
    row = {
        "id": id,
        "namespace": "shop",
        "workflow_id": ids.new_id(),
        "workflow": "order",
        "version": "1.0.0",
        "status": "completed",
        "last_number": steps,
        "input": '{"text":\n"a \\u0000 b"}',
        **columns,
    }
    names = ", ".join(row)
    api.all(
        f"insert into orchestrator.instances ({names}, created_at, ended_at) values"
        f" ({', '.join(['%s'] * len(row))}, clock_timestamp() - %s - interval '1 h',"
        " clock_timestamp() - %s)",
        *row.values(),
        *[timedelta(days=days)] * 2,
    )
    api.all(
        "insert into orchestrator.steps (instance_id, id, parent, reference, kind, status)"
        " select %s, n, 0, '/do/0/note', 'set', 'completed' from generate_series(1, %s) n",
        *(id, steps),
    )
    api.all(
        "insert into orchestrator.attempts (id, instance_id, step, number, starts, state, task,"
        " queue) values (%s, %s, 1, 1, 1, 'succeeded', 't', 'celery')",
        *(ids.new_id(), id),
    )
    api.all(
        "insert into orchestrator.history (instance_id, sequence, at, seed, stimulus, facts)"
        " values (%s, 1, clock_timestamp(), 1, '{}', '[]')",
        id,
    )
    return id


def work(keeper: RetentionJob) -> None:
    """A whole round."""
    while keeper.work() == BUSY_INTERVAL:
        pass


def lines(keeper: RetentionJob) -> Iterator[dict[str, Any]]:
    """What stands in the archive, as its readers are told to read it."""
    for path in sorted(keeper.archive.folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue


def archived(keeper: RetentionJob) -> list[str]:
    return [line["instance"]["id"] for line in lines(keeper)]


def left(api: Api) -> set[str]:
    return {row[0] for row in api.all("select id::text from orchestrator.instances")}


def test_an_old_instance_goes_with_all_that_is_its_own(shop: Api, keeper: RetentionJob):
    old, young = ended(shop), ended(shop, days=29)
    work(keeper)
    (line,) = lines(keeper)
    assert line["format"] == 1
    assert line["instance"]["id"] == old
    assert line["instance"]["input"] == {"text": "a \0 b"}
    assert [step["id"] for step in line["steps"]] == [1, 2]
    assert line["attempts"][0]["task"] == "t"
    assert line["history"][0]["sequence"] == 1
    assert line["dead_letters"] == []
    assert left(shop) == {young}
    for table in statements.TABLES:
        rows = shop.all(f"select count(*) from orchestrator.{table} where instance_id = %s", old)
        assert rows == [(0,)], table
    answer = shop.get(f"/v1/instances/{old}")
    assert (answer.status_code, problem(answer)) == (404, "not-found")
    assert (next(keeper.archive.folder.iterdir()).stat().st_mode & 0o777) == 0o600


def test_every_table_with_rows_of_instances_is_thought_of(shop: Api):
    """What keeps rows of an instance that went is known, and why they stay."""
    stays = {"event_offers"}  # with their events, which have a retention of their own
    stays |= {"events", "deliveries", "firings"}  # ledgers of their own, that name the instance
    stays.add("decision_leases")  # of a few seconds; the beats remove what has expired
    tables = shop.all(
        "select distinct table_name from information_schema.columns"
        " where table_schema = 'orchestrator' and column_name = 'instance_id'"
    )
    assert {name for (name,) in tables} - stays == set(statements.TABLES)


@pytest.mark.parametrize("status", ["pending", "running", "waiting", "suspended"])
def test_what_has_not_ended_stays(shop: Api, keeper: RetentionJob, status: str):
    id = ended(shop, status=status)
    work(keeper)
    assert left(shop) == {id}


def test_what_somebody_still_needs_stays(shop: Api, keeper: RetentionJob):
    undoing = ended(shop, status="faulted", compensation="running")
    asked, judged, held = ended(shop), ended(shop, status="faulted"), ended(shop)
    shop.all("insert into orchestrator.stimuli (instance_id, kind) values (%s, 'command')", asked)
    shop.all(
        "insert into orchestrator.dead_letters (id, namespace, instance_id, step, reason)"
        " values (%s, 'shop', %s, 1, 'compensation')",
        *(ids.new_id(), judged),
    )
    shop.all("update orchestrator.attempts set state = 'claimed' where instance_id = %s", held)
    work(keeper)
    assert left(shop) == {undoing, asked, judged, held}
    shop.all("update orchestrator.dead_letters set resolved_at = clock_timestamp()")
    work(keeper)
    assert archived(keeper) == [judged]
    assert len(next(lines(keeper))["dead_letters"]) == 1


def test_children_stay_as_long_as_their_parents(shop: Api, keeper: RetentionJob):
    parent = ended(shop, status="running")
    child = ended(shop, parent_instance=parent, parent_step=1)
    work(keeper)
    assert left(shop) == {parent, child}
    shop.all("update orchestrator.instances set status = 'completed' where id = %s", parent)
    grandchild = ended(shop, parent_instance=child, status="running")
    work(keeper)
    work(keeper)
    assert archived(keeper) == [parent]  # the child still has an open one of its own
    shop.all("update orchestrator.instances set status = 'faulted' where id = %s", grandchild)
    for _ in range(3):
        work(keeper)
    assert archived(keeper) == [parent, child, grandchild]


def test_what_stays_does_not_keep_others_waiting(shop: Api, keeper: RetentionJob, monkeypatch):
    monkeypatch.setattr("orchestrator.scheduler.instance_archive.INSTANCES", 3)
    stay = {ended(shop, days=60, steps=1) for _ in range(7)}
    shop.all("insert into orchestrator.stimuli (instance_id, kind) select id, 'command'"
             " from orchestrator.instances")  # fmt: skip
    go = [ended(shop, days=40, steps=1) for _ in range(7)]
    work(keeper)
    assert left(shop) == stay
    assert sorted(archived(keeper)) == sorted(go)


def test_portions_are_small(shop: Api, keeper: RetentionJob, monkeypatch):
    monkeypatch.setattr("orchestrator.scheduler.instance_archive.STEPS", 10)
    for days in (50, 49, 48, 47):
        ended(shop, days=days, steps=4)
    assert [keeper.work(), len(left(shop))] == [BUSY_INTERVAL, 2]
    assert [keeper.work(), len(left(shop))] == [BUSY_INTERVAL, 0]
    assert keeper.work() == IDLE_INTERVAL
    large = ended(shop, steps=11)
    work(keeper)
    assert archived(keeper)[-1] == large


KILLED = """\
import os, signal, sys
from datetime import timedelta
from pathlib import Path
from orchestrator.database.connection.database import Database
from orchestrator.scheduler.instance_archive import InstanceArchive, RetentionJob

class Dies(InstanceArchive):
    def write(self, lines):
        path = super().write(lines)
        if sys.argv[3] == "torn":
            with open(path, "r+b") as file:
                file.truncate(os.path.getsize(path) - 20)
        os.kill(os.getpid(), signal.SIGKILL)

RetentionJob(Database(sys.argv[1]), timedelta(days=30), Dies(Path(sys.argv[2]))).work()
"""


@pytest.mark.parametrize("how", ["whole", pytest.param("torn", marks=pytest.mark.slow)])
def test_a_crash_before_the_commit_removes_nothing(shop: Api, keeper: RetentionJob, how: str):
    old = ended(shop)
    arguments = [shop.database.url, str(keeper.archive.folder), how]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert left(shop) == {old}
    before = archived(keeper)
    assert before == ([old] if how == "whole" else [])
    # The dead process's session holds its locks until the server notices.
    shop.all(
        "select pg_terminate_backend(pid, 10000) from pg_locks where locktype = 'relation'"
        " and relation = 'orchestrator.instances'::regclass and mode = 'RowShareLock'"
        " and pid <> pg_backend_pid()"
    )
    work(keeper)
    assert left(shop) == set()
    assert archived(keeper) == [*before, old]


def test_a_line_that_was_cut_short_spoils_no_other(tmp_path: Path):
    archive = InstanceArchive(tmp_path)
    path = archive.write(['{"a": 1}'])
    path.write_bytes(path.read_bytes() + b'{"b": ')
    assert archive.write(['{"c": 3}', '{"d": 4}']) == path
    assert path.read_bytes().splitlines() == [b'{"a": 1}', b'{"b": ', b'{"c": 3}', b'{"d": 4}']


def test_a_folder_that_can_not_be_written_keeps_everything(shop: Api, tmp_path: Path):
    old = ended(shop)
    (tmp_path / "file").touch()
    keeper = RetentionJob(shop.database, AGE, InstanceArchive(tmp_path / "file" / "archive"))
    with pytest.raises(OSError, match="Not a directory"):
        keeper.work()
    assert left(shop) == {old}


def test_a_command_that_comes_first_keeps_its_instance(shop: Api, keeper: RetentionJob):
    """The archive and a command race for the row; who is second finds it taken, or gone."""
    old = ended(shop, status="faulted")
    with shop.database.transaction(UNBOUNDED) as cursor:
        cursor.one("select 1 from orchestrator.instances where id = %s for key share", (old,))
        cursor.all("insert into orchestrator.stimuli (instance_id, kind) values (%s, 'command')",
                   (old,))  # fmt: skip
        work(keeper)
    assert left(shop) == {old}
    work(keeper)
    assert left(shop) == {old}


def test_only_settings_make_it_work(shop: Api):
    database = shop.database
    assert retention_jobs(Settings(), database) == []
    assert retention_jobs(Settings(instance_retention=60), database) == []
    chosen = Settings(instance_retention=60, archive_dir="archive")
    assert [job.name for job in retention_jobs(chosen, database)] == ["retention"]
