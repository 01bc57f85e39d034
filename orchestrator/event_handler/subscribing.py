"""Gives the events of one round to the subscriptions of their namespace: each becomes a
delivery, which the beats send, or starts an instance at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestrator import codec
from orchestrator.database import deliveries, instances, subscriptions, workflows
from orchestrator.database.connection import Busy
from orchestrator.database.events import Waiting
from orchestrator.database.instances import NewStart, Outcome
from orchestrator.database.slices import Reader
from orchestrator.database.subscriptions import SubscriptionRow
from orchestrator.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.event_handler.cloud_events import read
from orchestrator.event_handler.filters import Filter, canonical, compiled, identity
from orchestrator.event_handler.judging import Judge
from orchestrator.ids import new_id

#: What an instance that an event starts gets as its input, unless the subscription says so.
READ = "envelope"


class Subscribing:
    """Gives the events of one round."""

    def __init__(self, cursor: Reader, namespace: str, judge: Judge, now: datetime) -> None:
        self._cursor = cursor
        self._namespace = namespace
        self._judge = judge
        self._now = now
        #: The instances to be hinted.
        self.told: list[str] = []

    def give(self, waiting: Sequence[Waiting]) -> None:
        """Let subscribers have events; raises `Stuck`."""
        broadcast = [event for event in waiting if event.target is None]
        types = sorted({event.type for event in broadcast})
        rows = subscriptions.active(self._cursor, self._namespace, types) if types else []
        if not rows:
            return
        wanted = [(row, *_filter(row)) for row in rows]
        found = [
            (row, event)
            for event in broadcast
            for row, id, filter in wanted
            if event.number > (row.heard_from or 0)
            and filter.takes(event.type)
            and self._judge.values(id, filter, event) is not None
        ]
        pairs = [(row.id, event.number, event.instance) for row, event in found]
        new = deliveries.put(self._cursor, pairs)
        for row, event in found:
            delivery = new.get((row.id, event.number))
            if delivery is not None and "workflow" in row.target:
                self._start(row, event, delivery)
        if any("webhook" in row.target for row, _ in found):
            deliveries.announce(self._cursor)

    def _start(self, row: SubscriptionRow, event: Waiting, delivery: str) -> None:
        self._cursor.all("savepoint start")
        try:
            instance = start(self._cursor, row, event, self._now)
        except (Busy, DatabaseUnavailable):
            raise
        except OrchestratorError as error:
            self._cursor.all("rollback to savepoint start")
            deliveries.done(self._cursor, delivery, None, str(error))
            return
        self._cursor.all("release savepoint start")
        deliveries.done(self._cursor, delivery, instance, None)
        self.told.append(instance)


def _filter(row: SubscriptionRow) -> tuple[str, Filter]:
    text = canonical({"with": row.filter})
    return identity("", text), compiled(text)


def start(cursor: Reader, row: SubscriptionRow, event: Waiting, now: datetime) -> str:
    """Start the instance that a subscription wants for an event; returns its id.

    Raises `OrchestratorError`.
    """
    target = row.target["workflow"]
    version = target.get("version")
    found = workflows.get(cursor, row.namespace, target["name"], version)
    if found is None:
        raise OrchestratorError(f"there is no workflow {row.namespace}/{target['name']}")
    new = NewStart(
        id=new_id(),
        workflow_id=found.id,
        newest=version is None,
        input=codec.dumps(read(target.get("read", READ), event.event)),
        labels=codec.dumps({"subscription": row.id}),
        heard_from=event.number,
    )
    if instances.start(cursor, [new], now, "subscription") is not Outcome.STARTED:
        raise OrchestratorError("the workflow has changed at this moment")
    return new.id
