"""What checks and repairs share: services, answers of broker and workers, and waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from orchestrator.bootstrap import Services, services
from orchestrator.broker_settings import celery_settings, reach
from orchestrator.clock import monotonic
from orchestrator.core.model import Json, StimulusKind
from orchestrator.database.operations import (
    consistency_checks,
    consistency_repairs,
    overview_queries,
)
from orchestrator.database.operations.consistency_checks import Row
from orchestrator.database.workers import route_queries
from orchestrator.doctor import broker_messages
from orchestrator.errors import BrokerUnavailable
from orchestrator.settings import Settings

#: Rows younger than this are not reported, in seconds: beats handle them within this time.
MIN_AGE = 10.0
#: Time between two checks whether workers have applied the stimuli, in seconds.
POLL_INTERVAL = 0.25
#: How long the doctor waits for answers of Celery workers, in seconds. Their number is unknown.
ANSWER_TIMEOUT = 1.0


@dataclass(frozen=True)
class Answer:
    """The answer of a Celery worker through the broker: its tasks and its queues."""

    tasks: frozenset[str]
    queues: frozenset[str]


@dataclass
class Examination:
    """One examination of an installation. `min_age` is in seconds."""

    services: Services
    app: Any
    min_age: float
    #: Whether the broker answers; otherwise it is left out of the comparisons.
    broker: bool = True
    #: The instances that repairs have sent stimuli to.
    stimuli_sent: set[str] = field(default_factory=set)
    #: The broker's messages by queue, once they were read.
    _messages: dict[str, set[str] | None] = field(default_factory=dict)
    _answers: dict[str, Answer] | None = None

    @property
    def settings(self) -> Settings:
        """The settings of the installation."""
        return self.services.settings

    def find(self, sql: str) -> list[Row]:
        """Run a consistency check and return its rows."""
        return consistency_checks.run_check(
            self.services.database, sql, self.settings.lease, self.min_age
        )

    def at_broker(self, queues: Sequence[str]) -> dict[str, set[str] | None]:
        """Return the messages of queues as `broker_messages.waiting` does; empty without a
        broker."""
        new = [queue for queue in queues if queue not in self._messages]
        if new and self.broker:
            try:
                self._messages |= broker_messages.waiting(
                    self.settings.broker_url,
                    new,
                    self.settings.control_queue,
                    route_queries.routes(self.services.database, self.settings.lease)[1],
                )
            except BrokerUnavailable:
                self.broker = False
        return self._messages

    def answers(self) -> dict[str, Answer]:
        """Return the answers of all Celery workers at the broker, by name; empty without a
        broker. Workers without remote control do not answer."""
        if self._answers is None:
            self._answers = self._ask_workers()
        return self._answers

    def _ask_workers(self) -> dict[str, Answer]:
        try:
            reach(self.settings.broker_url, ANSWER_TIMEOUT)
        except BrokerUnavailable:
            return {}
        inspection = self.app.control.inspect(timeout=ANSWER_TIMEOUT)
        tasks = inspection.registered() or {}
        queues = inspection.active_queues() or {} if tasks else {}
        return {
            name: Answer(
                frozenset(each.split(" [")[0] for each in tasks.get(name) or ()),
                frozenset(each["name"] for each in queues.get(name) or ()),
            )
            for name in tasks
        }

    def clear(self) -> None:
        """Drop the messages and answers that were read and the stimuli that were sent: a repair has
        changed them."""
        self._messages.clear()
        self._answers = None
        self.stimuli_sent.clear()

    def has_control(self) -> bool:
        """Whether a live worker serves the control queue."""
        queue, lease = self.settings.control_queue, self.settings.lease
        return overview_queries.is_served(self.services.database, queue, lease)

    def pending_stimuli(self) -> list[str]:
        """Return the instances with a sent stimulus that is not applied yet."""
        return consistency_repairs.with_pending_stimuli(
            self.services.database, sorted(self.stimuli_sent)
        )

    def send_stimulus(
        self,
        instance: str,
        kind: StimulusKind,
        data: Json,
        step: int | None = None,
        key: str | None = None,
    ) -> None:
        """Store a stimulus for an instance, and hint the workers to apply it."""
        self.stimuli_sent.add(instance)
        self.services.state.store.put_stimulus(instance, kind, step=step, data=data, key=key)
        self.services.dispatcher.hint(instance)

    def wait_one_lease(self) -> None:
        """Wait for one lease, in which a live worker would send a heartbeat."""
        time.sleep(self.settings.lease)


def still_inconsistent(
    examination: Examination,
    find: Callable[[Examination], list[Row]],
    repaired: list[Row],
    timeout: float = 5.0,
) -> list[Row]:
    """Return the repaired rows that the check still finds.

    Stimuli take effect once a worker has applied them. Those that no worker applies within
    `timeout` seconds are applied here.
    """
    deadline = monotonic() + (timeout if examination.has_control() else 0.0)
    while examination.pending_stimuli() and monotonic() < deadline:
        time.sleep(POLL_INTERVAL)  # workers send no event when they have applied a stimulus
    for instance in examination.pending_stimuli():
        examination.services.state.process_inbox(instance)
    examination.clear()
    keys = {(row.subject, row.step) for row in repaired}
    return [row for row in find(examination) if (row.subject, row.step) in keys]


@contextmanager
def examine(settings: Settings, min_age: float = MIN_AGE) -> Iterator[Examination]:
    """Open an examination of the installation with these settings; close it at the end."""
    from celery import Celery

    app = Celery("doctor", set_as_current=False)
    app.conf.update(celery_settings(settings))
    made = services(settings, app)
    try:
        yield Examination(made, app, min_age)
    finally:
        made.close()
        app.close()
