"""Matches the events of one round with the subscriptions of a namespace. Each match becomes a
delivery, which the beats send, or starts an instance at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestrator import json_codec
from orchestrator.database.connection.database import LockTimeout, Transaction
from orchestrator.database.events import delivery_queries, subscription_queries
from orchestrator.database.events.event_matching_queries import UnmatchedEvent
from orchestrator.database.events.subscription_queries import SubscriptionRow
from orchestrator.database.instances import instance_queries
from orchestrator.database.instances.instance_queries import NewStart, StartOutcome
from orchestrator.database.workflows import instance_tree_queries, workflow_queries
from orchestrator.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.event_handler.compiled_event_filter import (
    EventFilter,
    canonical,
    compiled,
    identity,
)
from orchestrator.event_handler.event_content import content_for
from orchestrator.event_handler.filter_evaluator import FilterEvaluator
from orchestrator.ids import new_id

#: Default of a subscription's ``read``: the input of the instances that it starts.
READ = "envelope"


class SubscriptionMatcher:
    """Matches the events of one round with subscriptions."""

    def __init__(
        self, transaction: Transaction, namespace: str, evaluator: FilterEvaluator, now: datetime
    ) -> None:
        self._transaction = transaction
        self._namespace = namespace
        self._evaluator = evaluator
        self._now = now
        #: The instances to send hints to.
        self.instances_to_hint: list[str] = []

    def match_events(self, waiting: Sequence[UnmatchedEvent]) -> None:
        """Create deliveries and start instances. Raises `EvaluatorFailed`."""
        matches = self.matching(waiting)
        if not matches:
            return
        pairs = [(row.id, event.receipt_number, event.instance) for row, event in matches]
        new = delivery_queries.put(self._transaction, pairs)
        for row, event in matches:
            delivery = new.get((row.id, event.receipt_number))
            if delivery is not None and "workflow" in row.target:
                self._start(row, event, delivery)
        if any("webhook" in row.target for row, _ in matches):
            delivery_queries.announce(self._transaction)

    def matching(
        self, waiting: Sequence[UnmatchedEvent]
    ) -> list[tuple[SubscriptionRow, UnmatchedEvent]]:
        """Return the subscriptions that events match, in the order of the events. Raises
        `EvaluatorFailed`."""
        broadcast = [event for event in waiting if event.target_instance is None]
        types = sorted({event.type for event in broadcast})
        rows = (
            subscription_queries.active_subscriptions(self._transaction, self._namespace, types)
            if types
            else []
        )
        filters = [(row, *_filter(row)) for row in rows]
        return [
            (row, event)
            for event in broadcast
            for row, id, filter in filters
            if event.receipt_number > (row.heard_from or 0)
            and filter.accepts_type(event.type)
            and self._evaluator.correlation_values_if_passing(id, filter, event) is not None
        ]

    def _start(self, row: SubscriptionRow, event: UnmatchedEvent, delivery: str) -> None:
        self._transaction.all("savepoint start")
        try:
            instance = start(self._transaction, row, event, self._now)
        except (LockTimeout, DatabaseUnavailable):
            raise
        except OrchestratorError as error:
            self._transaction.all("rollback to savepoint start")
            delivery_queries.end_start(self._transaction, delivery, None, str(error))
            return
        self._transaction.all("release savepoint start")
        delivery_queries.end_start(self._transaction, delivery, instance, None)
        self.instances_to_hint.append(instance)


def _filter(row: SubscriptionRow) -> tuple[str, EventFilter]:
    text = canonical({"with": row.filter})
    return identity("", text), compiled(text)


def start(
    transaction: Transaction, row: SubscriptionRow, event: UnmatchedEvent, now: datetime
) -> str:
    """Start the instance of a subscription for an event. Return its id.

    Raises `OrchestratorError`.
    """
    target = row.target["workflow"]
    version = target.get("version")
    workflow = workflow_queries.get(transaction, row.namespace, target["name"], version)
    if workflow is None:
        raise OrchestratorError(f"there is no workflow {row.namespace}/{target['name']}")
    new = NewStart(
        id=new_id(),
        workflow_id=workflow.id,
        newest=version is None,
        input=json_codec.dumps(content_for(target.get("read", READ), event.event)),
        labels=json_codec.dumps({"subscription": row.id}),
        heard_from=event.receipt_number,
    )
    if instance_queries.start(transaction, [new], now, "subscription") is not StartOutcome.STARTED:
        raise OrchestratorError("a newer version was deployed at the same moment")
    if event.instance and not instance_tree_queries.inherit(transaction, event.instance, new.id):
        raise OrchestratorError("the instances that its events start have started too many others")
    return new.id
