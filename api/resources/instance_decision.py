"""Changes of an instance that are decided in the request: under its row lock, before the answer.

Where the lock is not had in time, or the decision is a control worker's, the command is left as
a note in the instance's inbox, and the answer says so (`decided` false).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Response, request

from api.http import etags, idempotency, problem_types
from api.http.app_state import scope, state
from api.http.problems import Problem
from api.resources.instances import etag
from orchestrator.core.model import Refusal
from orchestrator.database.access.idempotency_queries import Answer
from orchestrator.database.connection.database import LockTimeout, Transaction
from orchestrator.database.instances import command_queries
from orchestrator.database.instances.command_queries import DECIDING, Target
from orchestrator.errors import DatabaseUnavailable
from orchestrator.log import get_logger
from orchestrator.state_manager.command_decision import Outcome
from orchestrator.state_manager.post_commit import announce, written_to

log = get_logger(__name__)

#: Seconds after which a command may be given again that something still in flight stands against.
RETRY_AFTER = 1

Data = Mapping[str, Any]
Prepare = Callable[[Transaction, Target], Data | None]
Record = Callable[[Transaction, Target, bool], Answer]


@dataclass(frozen=True, slots=True)
class Change:
    """A command to one instance.

    `prepare` checks the request against the instance as it is and returns the command (the data
    of a COMMAND stimulus; None: nothing is told to the instance), or raises a `Problem`.
    `record` writes what belongs to the change, and makes the answer from the instance as it is
    afterwards and from whether the command was decided.
    """

    instance: str
    prepare: Prepare
    record: Record
    #: Whether the request heeds If-Match.
    tagged: bool = True

    def give(self) -> Response:
        """Decide it and answer. Raises `Problem` 404, 409, 412, 503."""
        outcomes: list[Outcome] = []
        decide, follow = partial(self._decide, outcomes), partial(self._follow, outcomes)
        try:
            return idempotency.run_idempotent(decide, follow, opening=DECIDING)
        except LockTimeout:
            outcomes.clear()
        return idempotency.run_idempotent(self._leave, follow)

    def _decide(self, outcomes: list[Outcome], cursor: Transaction) -> Answer | Problem:
        services = state().services
        command_queries.lock(cursor, self.instance, scope())
        target = command_queries.target(cursor, self.instance)
        if self.tagged:
            etags.require_match(etag(target), "instance")
        data = self.prepare(cursor, target)
        if data is None:
            return self.record(cursor, target, True)
        outcome = services.commander.decide(services.store.deciding(cursor), self.instance, data)
        outcomes.append(outcome)
        if outcome.refused is not None:
            return refused(outcome.refused)
        if not outcome.decided:
            self._check_unconditional()
            command_queries.put(cursor, self.instance, data)
        return self.record(cursor, command_queries.target(cursor, self.instance), outcome.decided)

    def _leave(self, cursor: Transaction) -> Answer:
        """Somebody keeps the row lock: leave a note."""
        self._check_unconditional()
        data = self.prepare(cursor, command_queries.unlocked(cursor, self.instance, scope()))
        if data is not None:
            command_queries.put(cursor, self.instance, data)
        return self.record(cursor, command_queries.target(cursor, self.instance), False)

    def _follow(self, outcomes: list[Outcome]) -> None:
        """After the commit: wake whom it wrote to. None of it can fail the request."""
        app = state()
        saved = [each for outcome in outcomes for each in outcome.saved]
        written = [id for each in saved for id in written_to(each)]
        app.hints.send(*dict.fromkeys([self.instance, *written]))
        if any(each.transition.listeners for each in saved):
            app.hints.match(saved[0].before.instance.namespace)
        try:
            for outcome in outcomes:
                for each in outcome.saved:
                    announce(each, outcome.at, app.services.store)
        except DatabaseUnavailable:
            log.info("The work after a commit was left to the beats", action="post_commit_skipped")

    def _check_unconditional(self) -> None:
        """A note would be judged against a state that the client has not seen. Raises `Problem`
        503."""
        if self.tagged and request.if_match:
            raise Problem(
                problem_types.UNAVAILABLE, "it can't be decided now whether the ETag still holds"
            )


def refused(refusal: Refusal) -> Problem:
    """The problem that tells why a command does not fit."""
    headers = {"Retry-After": str(RETRY_AFTER)} if refusal.later else {}
    return Problem(problem_types.WRONG_STATUS, refusal.reason, headers=headers)
