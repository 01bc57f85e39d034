"""``/v1/instances/{id}/cancel`` and the other commands, decided here and continued by workers.

A command's own transition is made under the instance's row lock. So the answer has the state
after it, or the reason of the refusal; see `api.resources.instance_decision`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Response
from marshmallow import Schema

from api.http import etags, idempotency, problem_types
from api.http.app_state import audit_entry, caller
from api.http.problems import MEDIA_TYPE, Problem
from api.http.request_body import json_body
from api.http.resource_blueprint import Resource
from api.resources import dry_runs
from api.resources.instance_decision import Change
from api.resources.instances import etag, identified
from api.resources.steps import LARGEST
from api.schemas.commands import (
    AcceptedSchema,
    CommandSchema,
    CompensateSchema,
    RetrySchema,
    SkipSchema,
)
from api.schemas.common import ProblemSchema
from api.schemas.dry_runs import CommandPlanSchema, CommandQuerySchema
from orchestrator.core.commands import COMMANDS as CORE_COMMANDS
from orchestrator.core.model import OPEN_STATUSES, Status, TimerKind
from orchestrator.database.access import audit_queries
from orchestrator.database.access.idempotency_queries import RecordedAnswer
from orchestrator.database.connection.database import Transaction
from orchestrator.database.instances import step_queries
from orchestrator.database.instances.command_queries import Target
from orchestrator.database.schedules import timer_queries

blueprint = Resource(
    "commands", __name__, url_prefix="/v1/instances/<id:id>", description="Commands to instances."
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command and the schema of its body. The core decides which instances it fits."""

    name: str
    summary: str
    schema: type[Schema] = CommandSchema


COMMANDS = (
    Command("suspend", "Let the running steps finish, and start no others"),
    Command("resume", "Continue a suspended instance"),
    Command("cancel", "Stop an instance and undo what it completed"),
    Command("terminate", "Stop an instance and undo nothing"),
    Command(
        "retry", "Open a new run of an instance that failed; its completed steps stay", RetrySchema
    ),
    Command("compensate", "Undo what an ended instance completed", CompensateSchema),
    Command("skip", "End a waiting step with a given output", SkipSchema),
)


def _respond(command: Command, body: dict[str, Any], id: str, *, dry_run: bool) -> Response:
    prepare, record = partial(_prepare, command, body), partial(_record, command, body)
    if dry_run:
        return dry_runs.answer(identified(id), command.name, body, prepare)
    return Change(identified(id), prepare, record).run()


def _prepare(
    command: Command, body: dict[str, Any], cursor: Transaction, target: Target
) -> dict[str, Any]:
    if command.name == "skip" and target.status in OPEN_STATUSES and "step" not in body:
        raise Problem(
            problem_types.INVALID, "which step?", [{"pointer": "", "message": "step is missing"}]
        )
    for name in ("step", "from"):
        if name in body and step_queries.get(cursor, target.id, body[name]) is None:
            errors = [{"pointer": f"/{name}", "message": f"the instance has no step {body[name]}"}]
            raise Problem(problem_types.NOT_FOUND, errors[0]["message"], errors)
    return {"command": command.name, "by": caller().name, **body}


def _record(
    command: Command, body: dict[str, Any], cursor: Transaction, after: Target, decided: bool
) -> RecordedAnswer:
    reason = body.get("reason")
    extra = {name: value for name, value in body.items() if name != "reason"}
    action = f"instance.{command.name}"
    audit_queries.write(cursor, audit_entry(action, after.namespace, after.id, reason, **extra))
    return _accepted(command.name, after, decided=decided)


def _accepted(command: str, after: Target, *, decided: bool) -> RecordedAnswer:
    accepted = {
        "id": after.id,
        "command": command,
        "status": after.status,
        "compensation": after.compensation,
        "run": after.run,
        "decided": decided,
    }
    headers = {"Location": f"/v1/instances/{after.id}", **etags.headers(etag(after))}
    return idempotency.recordable(202, accepted, headers)


@blueprint.route("/steps/<int:step>/retry-now", methods=["POST"], tagged=True)
@blueprint.answers(202, AcceptedSchema, Location="where the instance is")
@json_body(CommandSchema, optional=True)
def retry_now(body: dict[str, Any], id: str, step: int) -> Response:
    """Try a step again now, instead of at its `retry_at`

    409 if the step waits for no retry, or the instance is suspended.
    """

    def prepare(cursor: Transaction, target: Target) -> None:
        if target.status == Status.SUSPENDED:
            raise Problem(problem_types.WRONG_STATUS, "the instance is suspended")
        if step > LARGEST or not timer_queries.fire_now(cursor, target.id, step, TimerKind.RETRY):
            raise Problem(problem_types.WRONG_STATUS, f"step {step} waits for no retry")

    def record(cursor: Transaction, after: Target, decided: bool) -> RecordedAnswer:
        reason = body.get("reason")
        entry = audit_entry("step.retry_now", after.namespace, after.id, reason, step=step)
        audit_queries.write(cursor, entry)
        return _accepted("retry-now", after, decided=decided)

    return Change(identified(id), prepare, record).run()


_ETAG = "of the instance after the command"
_RETRY_AFTER = "seconds, if attempts in flight prevent the command"


def _register(command: Command) -> None:
    @blueprint.route(f"/{command.name}", methods=["POST"], endpoint=command.name, tagged=True)
    @blueprint.answers(202, AcceptedSchema, Location="where the instance is", ETag=_ETAG)
    @blueprint.answers(409, ProblemSchema, media_type=MEDIA_TYPE, Retry_After=_RETRY_AFTER)
    @blueprint.answers(200, CommandPlanSchema, meaning="A dry run", ETag="of the instance as it is")
    @blueprint.described(summary=command.summary)
    @json_body(command.schema, optional=True)
    @blueprint.requires(CommandQuerySchema)
    def view(body: dict[str, Any], query: dict[str, bool], id: str) -> Response:
        return _respond(command, body, id, dry_run=query["dry_run"])


for _command in COMMANDS:
    if _command.name in CORE_COMMANDS:
        _register(_command)
