"""What looks and remedies work with: the services of a process, and patience."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from orchestrator.bootstrap import Services, services
from orchestrator.broker_settings import celery_settings, reach
from orchestrator.cli.doctor import broker_messages
from orchestrator.clock import monotonic
from orchestrator.core.model import Json, StimulusKind
from orchestrator.database.operations import (
    consistency_checks,
    consistency_repairs,
    overview_queries,
)
from orchestrator.database.operations.consistency_checks import Row
from orchestrator.errors import BrokerUnavailable
from orchestrator.settings import Settings

#: What is younger than this is on its way, in s: beats look more often.
GRACE = 10.0
#: Between two looks for what was mended, in s.
LOOK_AGAIN = 0.25
#: How long Celery workers have to answer, in seconds. Nobody knows how many there are.
ANSWER = 1.0


@dataclass(frozen=True)
class Answer:
    """What a Celery worker says of itself through the broker: its tasks and its queues."""

    tasks: frozenset[str]
    queues: frozenset[str]


@dataclass
class Examination:
    """One look at an installation. `grace` in seconds."""

    services: Services
    app: Any
    grace: float
    #: Whether the broker answers; without it nothing is compared with it.
    broker: bool = True
    #: The instances that stimuli were left for.
    stimuli_sent: set[str] = field(default_factory=set)
    #: What stands at the broker, by queue, once it was asked.
    _messages: dict[str, set[str] | None] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings that all of it was made from."""
        return self.services.settings

    def find(self, sql: str) -> list[Row]:
        """The rows of a query."""
        return consistency_checks.run_check(
            self.services.database, sql, self.settings.lease, self.grace
        )

    def at_broker(self, queues: Sequence[str]) -> dict[str, set[str] | None]:
        """See `messages.waiting`; empty without a broker."""
        new = [queue for queue in queues if queue not in self._messages]
        if new and self.broker:
            try:
                self._messages |= broker_messages.waiting(self.settings.broker_url, new)
            except BrokerUnavailable:
                self.broker = False
        return self._messages

    def answers(self) -> dict[str, Answer]:
        """Every Celery worker that answers at the broker, by name; empty without a broker."""
        try:
            reach(self.settings.broker_url, ANSWER)
        except BrokerUnavailable:
            return {}
        asked = self.app.control.inspect(timeout=ANSWER)
        tasks = asked.registered() or {}
        queues = asked.active_queues() or {} if tasks else {}
        return {
            name: Answer(
                frozenset(each.split(" [")[0] for each in tasks.get(name) or ()),
                frozenset(each["name"] for each in queues.get(name) or ()),
            )
            for name in tasks
        }

    def forget(self) -> None:
        """What stands at the broker has changed, and the stimuli have been seen to."""
        self._messages.clear()
        self.stimuli_sent.clear()

    def has_control(self) -> bool:
        """Whether a live worker brings stimuli."""
        queue, lease = self.settings.control_queue, self.settings.lease
        return overview_queries.is_served(self.services.database, queue, lease)

    def unbrought(self) -> list[str]:
        """The instances that have been told something which has not been brought."""
        return consistency_repairs.with_pending_stimuli(
            self.services.database, sorted(self.stimuli_sent)
        )

    def message_for(
        self,
        instance: str,
        kind: StimulusKind,
        data: Json,
        step: int | None = None,
        key: str | None = None,
    ) -> None:
        """Leave an instance a stimulus, and ask for it to be brought."""
        self.stimuli_sent.add(instance)
        self.services.state.store.put_stimulus(instance, kind, step=step, data=data, key=key)
        self.services.dispatcher.hint(instance)

    def wait_one_lease(self) -> None:
        """Let as much time pass as a worker may be silent. There is no event to wait for: what
        is waited for is that nothing happens."""
        time.sleep(self.settings.lease)


def still_inconsistent(
    ward: Examination,
    find: Callable[[Examination], list[Row]],
    mended: list[Row],
    patience: float = 5.0,
) -> list[Row]:
    """Those of the mended rows that are still found. A stimulus takes effect once it is brought:
    by a worker, or, where none does it in time, here."""
    until = monotonic() + (patience if ward.has_control() else 0.0)
    while ward.unbrought() and monotonic() < until:
        time.sleep(LOOK_AGAIN)  # workers tell nobody when they have brought a stimulus
    for instance in ward.unbrought():
        ward.services.state.process_inbox(instance)
    ward.forget()
    keys = {(row.subject, row.step) for row in mended}
    return [row for row in find(ward) if (row.subject, row.step) in keys]


@contextmanager
def examination(settings: Settings, grace: float = GRACE) -> Iterator[Examination]:
    """A ward, closed at the end."""
    from celery import Celery

    app = Celery("doctor", set_as_current=False)
    app.conf.update(celery_settings(settings))
    made = services(settings, app)
    try:
        yield Examination(made, app, grace)
    finally:
        made.close()
        app.close()
