"""Moves instances that ended long ago from the database to files, in small batches.

A batch is one transaction: lock the instances, write their lines, sync the file to disk, delete the
rows. After a crash before the commit the instances are still in the database, and the next run
writes their lines again. No instance is lost.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from orchestrator import clock
from orchestrator.database.connection.database import Database
from orchestrator.database.instances import expired_instances
from orchestrator.database.instances.expired_instances import Position
from orchestrator.log import get_logger
from orchestrator.scheduler.maintenance_loop import MaintenanceJob
from orchestrator.settings import Settings

log = get_logger(__name__)

#: Seconds until the next batch: if no old instance is left, and if there are more.
IDLE_INTERVAL, BUSY_INTERVAL = 60.0, 0.5
#: Largest number of instances, and of their steps, in one batch: a longer one would delay timers.
INSTANCES, STEPS = 100, 2000


def retention_jobs(settings: Settings, database: Database) -> list[MaintenanceJob]:
    """Return the job if the settings have a retention time and a folder, otherwise nothing."""
    if not settings.instance_retention or not settings.archive_dir:
        return []
    age = timedelta(seconds=settings.instance_retention)
    job = RetentionJob(database, age, InstanceArchive(Path(settings.archive_dir)))
    return [MaintenanceJob("retention", IDLE_INTERVAL, job.work, runs_when_idle=True)]


@dataclass(slots=True)
class InstanceArchive:
    """Files of JSON lines in a folder. Each file has one day, host and process, so that it has
    only one writer."""

    folder: Path
    now: Callable[[], datetime] = clock.now

    def write(self, lines: Iterable[str]) -> Path:
        """Append lines and sync them to disk. Return the file's path. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        name = f"{self.now():%Y-%m-%d}.{socket.gethostname()}.{os.getpid()}.jsonl"
        path = self.folder / name
        is_new = not path.exists()
        # Readable by its owner only: inputs and outputs may be confidential.
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
            if _is_torn(path):
                file.write(b"\n")
            file.writelines(line.encode("utf-8", "backslashreplace") + b"\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync(self.folder)
        return path


def _is_torn(path: Path) -> bool:
    """Whether a crash cut the last line short."""
    with open(path, "rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _sync(folder: Path) -> None:
    """Sync the folder, so that a new file's name is on disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(slots=True)
class RetentionJob:
    """Archives and deletes instances that ended longer than `age` ago, one batch per call."""

    database: Database
    age: timedelta
    archive: InstanceArchive
    #: Position after the last batch of this round, so that instances that must stay are not
    #: read again for each batch.
    _cursor: Position | None = field(default=None)

    def work(self) -> float:
        """Archive and delete one batch. Return the seconds until the next one."""
        expired = expired_instances.old(self.database, self.age, INSTANCES, self._cursor)
        batch: list[str] = []
        steps = 0
        for (at, id), size in expired:
            if batch and steps + size > STEPS:
                break
            batch.append(id)
            steps += size
            self._cursor = (at, id)
        if not batch:
            self._cursor = None
            return IDLE_INTERVAL
        self._archive_and_delete(batch)
        return BUSY_INTERVAL

    def _archive_and_delete(self, ids: list[str]) -> None:
        with self.database.transaction() as transaction:
            locked = expired_instances.lock(transaction, ids, self.age)
            if not locked:
                return
            path = self.archive.write(
                expired_instances.export_lines(transaction, id) for id in locked
            )
            expired_instances.remove(transaction, locked)
        log.info(
            "Instances that ended long ago were archived",
            action="instances_archived",
            instances=len(locked),
            file=str(path),
        )
