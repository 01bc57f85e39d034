"""Instances that ended long ago go from the database to files, in small portions.

A portion is one transaction: lock the instances, write their lines, bring these to the disk,
delete. A crash before the commit leaves the instances where they were, so that their lines
come again; a crash after it has both the lines and the deletion. No instance is lost.
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

#: How often to look for what is old, in s; and while there is more of it.
SELDOM, SOON = 60.0, 0.5
#: Instances, and steps of them, that go at once: few enough that timers don't wait.
INSTANCES, STEPS = 100, 2000


def retention_chores(settings: Settings, database: Database) -> list[MaintenanceJob]:
    """The chore, where the settings ask for it."""
    if not settings.instance_retention or not settings.archive_dir:
        return []
    age = timedelta(seconds=settings.instance_retention)
    keeper = RetentionJob(database, age, InstanceArchive(Path(settings.archive_dir)))
    return [MaintenanceJob("retention", SELDOM, keeper.work, runs_when_idle=True)]


@dataclass(slots=True)
class InstanceArchive:
    """Files of JSON lines in a folder: one a day, a host and a process, so that no two writers
    share one."""

    folder: Path
    now: Callable[[], datetime] = clock.now

    def write(self, lines: Iterable[str]) -> Path:
        """Append lines; they are on the disk when this returns. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        name = f"{self.now():%Y-%m-%d}.{socket.gethostname()}.{os.getpid()}.jsonl"
        path = self.folder / name
        fresh = not path.exists()
        # Only its owner reads it: inputs and outputs are nobody else's business.
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
            if _is_torn(path):
                file.write(b"\n")
            file.writelines(line.encode("utf-8", "backslashreplace") + b"\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        if fresh:
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
    """Bring a new file's name to the disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(slots=True)
class RetentionJob:
    """Archives and removes what ended longer than `age` ago, a portion at a time."""

    database: Database
    age: timedelta
    archive: InstanceArchive
    #: How far this round has come: what stays, and why, is not looked at for each portion.
    _place: Position | None = field(default=None)

    def work(self) -> float:
        """Let a portion go; returns in how many seconds to go on."""
        found = expired_instances.old(self.database, self.age, INSTANCES, self._place)
        portion: list[str] = []
        steps = 0
        for (at, id), size in found:
            if portion and steps + size > STEPS:
                break
            portion.append(id)
            steps += size
            self._place = (at, id)
        if not portion:
            self._place = None
            return SELDOM
        self._archive_and_delete(portion)
        return SOON

    def _archive_and_delete(self, ids: list[str]) -> None:
        with self.database.transaction() as cursor:
            going = expired_instances.lock(cursor, ids, self.age)
            if not going:
                return
            path = self.archive.write(expired_instances.export_lines(cursor, id) for id in going)
            expired_instances.remove(cursor, going)
        log.info(
            "Instances that ended long ago were archived",
            action="instances_archived",
            instances=len(going),
            file=str(path),
        )
