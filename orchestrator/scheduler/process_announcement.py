"""Announces that an API or a beat is alive. Workers have their heartbeat instead."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from orchestrator import clock
from orchestrator.broker_settings import without_password
from orchestrator.database.connection.database import Database
from orchestrator.database.workers import process_queries
from orchestrator.database.workers.process_queries import PERIOD, Announced
from orchestrator.errors import DatabaseUnavailable
from orchestrator.ids import new_id
from orchestrator.scheduler.maintenance_loop import MaintenanceJob


class Presence:
    """The announcements of one process. `kind`: ``api`` or ``beat``."""

    def __init__(self, database: Database, kind: str, broker_url: str) -> None:
        self._database = database
        self._row = Announced(
            new_id(), kind, socket.gethostname(), os.getpid(), without_password(broker_url)
        )
        self._due = 0.0

    def announce(self) -> None:
        """Announce the process.

        Raises `DatabaseUnavailable`.
        """
        self._due = clock.monotonic() + PERIOD
        process_queries.announce(self._database, self._row, clock.now())

    def announce_if_due(self) -> None:
        """Announce the process unless it did so less than `PERIOD` ago."""
        if clock.monotonic() >= self._due:
            self.announce()

    def job(self) -> MaintenanceJob:
        """Return the job that announces a beat, also while it is idle."""
        return MaintenanceJob("presence", PERIOD, self.announce, runs_when_idle=True)

    def close(self) -> None:
        """Remove the announcement when the process ends. Without Postgres the row expires."""
        if self._due:
            with suppress(DatabaseUnavailable):
                process_queries.withdraw(self._database, self._row.id)
