"""The task requests of steps: created for a step without a message, else sanitized.

Their shape is that of Celery's message protocol 2 in a worker's process
(celery.worker.request, celery.app.trace).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from orchestrator.argument_repr import arguments_repr, value_repr

if TYPE_CHECKING:
    from orchestrator.execution.step.task_arguments import Arguments
    from orchestrator.state_manager import ClaimedAttempt

#: Fields by which a message makes a worker run more than its task; always empty for a step.
LINKED_FIELDS = ("callbacks", "errbacks", "chain", "chord", "group", "group_index", "reply_to")


def is_uuid(value: object) -> bool:
    """Return whether this is a UUID in canonical form: lower case, with hyphens."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


def replace_untrusted_fields(
    request: dict[str, Any],
    claimed: ClaimedAttempt,
    arguments: Arguments,
    chain: list[Any] | None = None,
) -> None:
    """Replace the untrusted fields of a step's request by those of its claimed attempt. `chain`: an
    empty list that the task may replace (see `StepValues.chain`)."""
    request.update(dict.fromkeys(LINKED_FIELDS))
    request.update(
        chain=chain,
        args=arguments.args,
        kwargs=arguments.kwargs,
        retries=claimed.retries,
        ignore_result=True,
        eta=None,
        expires=None,
        **_displayed(claimed, arguments),
        delivery_info={**(request.get("delivery_info") or {}), "redelivered": False},
        **(claimed.trace or {}),
    )


def continuation_request(
    claimed: ClaimedAttempt, hostname: str, queue: str, priority: int | None
) -> dict[str, Any]:
    """Return the request of a step without a message, still without arguments.

    `priority`: the one that its message would have."""
    id = claimed.attempt.id
    return {
        **dict.fromkeys(LINKED_FIELDS),
        "lang": "py",
        "task": claimed.attempt.task,
        "id": id,
        "root_id": id,
        "parent_id": None,
        "shadow": None,
        "eta": None,
        "expires": None,
        "retries": claimed.retries,
        "timelimit": [claimed.attempt.time_limit, None],
        "origin": hostname,
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
        "properties": {"correlation_id": id},
        "correlation_id": id,
        "hostname": hostname,
        "delivery_info": {
            "exchange": "",
            "routing_key": queue,
            "priority": priority,
            "redelivered": False,
        },
        "is_eager": False,
    }


def _displayed(claimed: ClaimedAttempt, arguments: Arguments) -> dict[str, str]:
    """Return the texts for logs and Flower, with secrets masked."""
    if claimed.call.get("kind") != "celery":
        args, kwargs = arguments_repr(claimed.call)
    else:
        masked = arguments.secrets.mask if arguments.secrets is not None else lambda value: value
        args, kwargs = value_repr(masked(arguments.args)), value_repr(masked(arguments.kwargs))
    return {"argsrepr": args, "kwargsrepr": kwargs}
