"""Commands that are decided in the request, under the instance's row lock, before the answer.

If the lock is not free in time, or a control worker must decide, the command becomes a stimulus
in the instance's inbox and the answer has `decided` false.
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
from api.resources import submitted_start
from api.resources.instances import etag
from orchestrator.core.model import Refusal
from orchestrator.database.access.idempotency_queries import RecordedAnswer
from orchestrator.database.connection.database import LockTimeout, Transaction
from orchestrator.database.instances import command_queries
from orchestrator.database.instances.command_queries import DECIDING, Target
from orchestrator.errors import DatabaseUnavailable, NotFound
from orchestrator.log import get_logger
from orchestrator.state_manager.command_decision import CommandOutcome
from orchestrator.state_manager.post_commit import announce, written_to

log = get_logger(__name__)

#: Seconds after which a command may be repeated that was refused because of attempts in flight.
RETRY_AFTER = 1

Data = Mapping[str, Any]
Prepare = Callable[[Transaction, Target], Data | None]
Record = Callable[[Transaction, Target, bool], RecordedAnswer]


@dataclass(frozen=True, slots=True)
class Change:
    """A command to one instance.

    `prepare` checks the request against the instance and returns the command (the data of a
    COMMAND stimulus; None: the instance gets none), or raises a `Problem`. `record` writes the
    audit log and the like, and makes the answer from the instance after the command and from
    whether the command was decided.
    """

    instance: str
    prepare: Prepare
    record: Record
    #: Whether the request heeds If-Match.
    tagged: bool = True

    def run(self) -> Response:
        """Decide the command and answer. Raises `Problem` 404, 409, 412, 503."""
        try:
            return self._run()
        except NotFound:
            submitted_start.find(self.instance)
            return self._run()

    def _run(self) -> Response:
        outcomes: list[CommandOutcome] = []
        state().services.dispatcher.refresh_routes()
        decide, post_commit = partial(self._decide, outcomes), partial(self._post_commit, outcomes)
        try:
            return idempotency.run_idempotent(decide, post_commit, opening=DECIDING)
        except LockTimeout:
            outcomes.clear()
        return idempotency.run_idempotent(self._put_in_inbox, post_commit)

    def _decide(
        self, outcomes: list[CommandOutcome], cursor: Transaction
    ) -> RecordedAnswer | Problem:
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

    def _put_in_inbox(self, cursor: Transaction) -> RecordedAnswer:
        """Put the command into the inbox, since another process has the row lock."""
        self._check_unconditional()
        data = self.prepare(
            cursor, command_queries.target_without_lock(cursor, self.instance, scope())
        )
        if data is not None:
            command_queries.put(cursor, self.instance, data)
        return self.record(cursor, command_queries.target(cursor, self.instance), False)

    def _post_commit(self, outcomes: list[CommandOutcome]) -> None:
        """Send hints for what was committed. A failure here does not fail the request."""
        app = state()
        saved = [transition for outcome in outcomes for transition in outcome.saved]
        written = [id for transition in saved for id in written_to(transition)]
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
        """Refuse a command with `If-Match` that would be decided later, in a state that the client
        has not read. Raises `Problem` 503."""
        if self.tagged and request.if_match:
            raise Problem(
                problem_types.UNAVAILABLE,
                "it cannot be decided now whether the ETag is current",
            )


def refused(refusal: Refusal) -> Problem:
    """Return the problem of a refused command."""
    headers = {"Retry-After": str(RETRY_AFTER)} if refusal.later else {}
    return Problem(problem_types.WRONG_STATUS, refusal.reason, headers=headers)
