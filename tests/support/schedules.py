"""Deployed schedules on Postgres, without waiting for time to pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from orchestrator import ids
from orchestrator.database.connection.database import Database, Transaction
from orchestrator.database.instances import instance_queries as instances
from orchestrator.database.instances.instance_queries import InstanceWithPayloads
from orchestrator.database.keyset_pages import Scope
from orchestrator.database.schedules import schedule_queries as rows
from orchestrator.database.schedules.schedule_queries import ScheduleRow
from orchestrator.database.workflows import workflow_queries
from orchestrator.database.workflows.workflow_queries import NewWorkflow
from orchestrator.scheduler.schedules import due_schedules, schedule_deployment

Result = TypeVar("Result")


class Schedules:
    """A database with schedules."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = Database(url)

    def close(self) -> None:
        """Give back the connections."""
        self.database.close()

    def transact(self, act: Callable[..., Result], *args: Any) -> Result:
        """Call `act(cursor, *args)` in a transaction."""
        with self.database.transaction() as cursor:
            return act(cursor, *args)

    def deploy(
        self, schedule: dict[str, Any] | None, version: str = "1.0.0", name: str = "report",
        **policies: Any,
    ) -> str:  # fmt: skip
        """Deploy a version of `shop/report`; returns its id."""
        head = {"dsl": "1.0.3", "namespace": "shop", "name": name, "version": version}
        if policies:
            head["metadata"] = {"schedule": policies}  # type: ignore[assignment]
        document: dict[str, Any] = {"document": head, "do": [{"a": {"set": {"b": 1}}}]}
        if schedule is not None:
            document["schedule"] = schedule
        new = NewWorkflow(
            ids.new_id(), "shop", name, version, "", document, json.dumps(document), "json"
        )

        def put(cursor: Transaction) -> str:
            workflow_queries.put(cursor, new)
            found = workflow_queries.get(cursor, "shop", name, version)
            assert found is not None
            schedule_deployment.update_schedules(cursor, found.id, "shop", name, version, document)
            return found.id

        return self.transact(put)

    def remove(self, *workflow_ids: str) -> bool:
        """Remove versions, as the API does."""
        checked = self.now()
        with self.database.transaction() as cursor:
            schedule_deployment.lock_schedules(cursor, workflow_ids)
            free = workflow_queries.remove(cursor, workflow_ids, checked)
            if free:
                schedule_deployment.stop_schedules(cursor, workflow_ids)
        return free

    def one(self, name: str = "report", kind: str | None = None) -> ScheduleRow:
        """The only schedule of a workflow, or the one of its kind."""
        found = [ScheduleRow(*row[3:]) for row in rows.listed(self.database, Scope()).rows]
        (chosen,) = [row for row in found if row.workflow == name and kind in (None, row.kind)]
        return chosen

    def instance(self, id: str | None) -> InstanceWithPayloads:
        """An instance that must be there."""
        found = instances.get(self.database, str(id), Scope())
        assert found is not None
        return found

    def now(self) -> datetime:
        """The database's clock."""
        return rows.now(self.database)

    def pass_time(self, seconds: float) -> None:
        """Move all that is stored into the past, as if so much time had passed."""
        by = timedelta(seconds=seconds)
        self.database.all(
            "update orchestrator.schedules set anchor = anchor - %s, next_due = next_due - %s,"
            " next_fire_at = next_fire_at - %s",
            (by, by, by),
        )
        for moved in (by + timedelta(days=10_000), -timedelta(days=10_000)):  # past one another
            self.database.all(
                "update orchestrator.firings set due = due - %s, missed_since = missed_since - %s,"
                " fires_at = fires_at - %s, fired_at = fired_at - %s",
                (moved,) * 4,
            )
        self.database.all(
            "update orchestrator.instances set ended_at = ended_at - %s where ended_at is not null",
            (by,),
        )

    def fire(self) -> list[str]:
        """Fire all that is due; returns the instances to be hinted."""
        hints: list[str] = []
        while (fired := due_schedules.fire(self.database)).schedules:
            hints += fired.instances_to_hint
        return hints

    def settle(self) -> list[str]:
        """Go on after the ends of instances."""
        return due_schedules.continue_schedules(self.database).instances_to_hint

    def end(self, *instances: str, status: str = "completed") -> None:
        """Let instances have ended now."""
        self.database.all(
            "update orchestrator.instances set status = %s, ended_at = clock_timestamp()"
            " where id = any(%s::uuid[])",
            (status, list(instances)),
        )

    def ledger(self, id: str | None = None) -> list[tuple[Any, ...]]:
        """(reason, outcome, why) of every firing, by due time."""
        return self.database.all(
            "select reason, outcome, skip_reason from orchestrator.firings"
            " where %s::uuid is null or schedule_id = %s::uuid order by due",
            (id, id),
        )

    def outcomes(self) -> list[str]:
        """The outcome of every firing, by due time."""
        return [row[1] for row in self.ledger()]
