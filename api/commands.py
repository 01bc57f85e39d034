"""``/v1/instances/{id}/cancel`` and the other commands: asked for here, done by a worker.

Each is a durable note in the instance's inbox. Whether the status allows it is checked when
the note is put in, so that a person learns it at once, and again by the transition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Response
from marshmallow import Schema

from api import keyed, kinds, tags
from api.bodies import takes
from api.context import caller, entry, scope, state
from api.instances import identified
from api.problems import Problem
from api.resource import Resource
from api.schemas.commands import (
    AcceptedSchema,
    CommandSchema,
    CompensateSchema,
    RetrySchema,
    SkipSchema,
)
from orchestrator.core.commands import COMMANDS as OBEYED
from orchestrator.core.values import ENDED, OPEN, Status
from orchestrator.database import audit, commands, steps
from orchestrator.database.commands import Target
from orchestrator.database.connection import Transaction
from orchestrator.database.idempotency import Answer

blueprint = Resource(
    "commands", __name__, url_prefix="/v1/instances/<id:id>", description="What people ask for."
)

_FAILED = frozenset({Status.FAULTED, Status.CANCELLED})


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and which instances it may be given to."""

    name: str
    summary: str
    allows: Callable[[Target], bool]
    schema: type[Schema] = CommandSchema


COMMANDS = (
    Command(
        "suspend",
        "Let the running steps finish, and start no more",
        lambda it: it.status in OPEN and it.status != Status.SUSPENDED,
    ),
    Command("resume", "Go on with a suspended instance", lambda it: it.status == Status.SUSPENDED),
    Command(
        "cancel",
        "Stop an instance and undo what it completed",
        lambda it: it.status in OPEN,
    ),
    Command(
        "terminate",
        "Stop an instance and undo nothing",
        lambda it: it.status in OPEN or it.compensation == "running",
    ),
    Command(
        "retry",
        "Open a new run of an instance that failed, its finished steps kept",
        lambda it: it.status in _FAILED and it.compensation == "none",
        RetrySchema,
    ),
    Command(
        "compensate",
        "Undo what an ended instance completed",
        lambda it: it.status in ENDED and it.compensation != "running",
        CompensateSchema,
    ),
    Command(
        "skip",
        "Let a step that stands still end with an output of yours",
        lambda it: it.status in OPEN or (it.status in _FAILED and it.compensation == "none"),
        SkipSchema,
    ),
)


def _give(command: Command, body: dict[str, Any], id: str) -> Response:
    instance = identified(id)
    make = partial(_put, command, body, instance)
    return keyed.change(make, after=lambda: state().hints.send(instance))


def _put(command: Command, body: dict[str, Any], id: str, cursor: Transaction) -> Answer:
    target = commands.target(cursor, id, scope())
    _check(command, body, target, cursor)
    reason = body.get("reason")
    data = {"command": command.name, "by": caller().name, **body}
    commands.put(cursor, id, data)
    extra = {name: value for name, value in body.items() if name != "reason"}
    audit.write(cursor, entry(f"instance.{command.name}", target.namespace, id, reason, **extra))
    accepted = {
        "id": id,
        "command": command.name,
        "status": target.status,
        "compensation": target.compensation,
        "run": target.run,
    }
    return keyed.answered(202, accepted, {"Location": f"/v1/instances/{id}"})


def _check(command: Command, body: dict[str, Any], target: Target, cursor: Transaction) -> None:
    tags.check(f"{target.run}-{target.sequence}", "instance")
    if not command.allows(target):
        state_of = f"it is {target.status}, its compensation {target.compensation}"
        raise Problem(kinds.WRONG_STATUS, f"the instance cannot {command.name}: {state_of}")
    if command.name == "skip" and target.status in OPEN and "step" not in body:
        raise Problem(kinds.INVALID, "which step?", [{"pointer": "", "message": "step is missing"}])
    for name in ("step", "from"):
        if name in body and steps.get(cursor, target.id, body[name]) is None:
            errors = [{"pointer": f"/{name}", "message": f"the instance has no step {body[name]}"}]
            raise Problem(kinds.NOT_FOUND, errors[0]["message"], errors)


def _register(command: Command) -> None:
    @blueprint.route(f"/{command.name}", methods=["POST"], endpoint=command.name, tagged=True)
    @blueprint.answers(202, AcceptedSchema, Location="where the instance is")
    @blueprint.described(summary=command.summary)
    @takes(command.schema, optional=True)
    def view(body: dict[str, Any], id: str) -> Response:
        return _give(command, body, id)


for _command in COMMANDS:
    if _command.name in OBEYED:
        _register(_command)
