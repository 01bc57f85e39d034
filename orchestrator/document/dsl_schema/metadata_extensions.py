"""Extensions of the language by this product: keys under `metadata`, and the arguments of `call:
celery`.

The official schema accepts anything under `metadata`. The values of the product's keys are checked;
all other keys belong to the author.
"""

from __future__ import annotations

from orchestrator.document.dsl_schema.schema_builders import (
    ANY_TEMPLATE,
    BOOLEAN,
    LITERAL,
    TEMPLATE,
    TEMPLATES,
    Schema,
    by_type,
    list_of,
    mapping,
    one_of,
    open_mapping,
    ref,
)

_QUEUE: Schema = {**TEMPLATE, "minLength": 1, "maxLength": 255, "expectation": "a queue's name"}


def _from_to(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


_PRIORITY = _from_to(0, 9)

TASK: dict[str, Schema] = {
    "compensate": open_mapping({"onUnknown": BOOLEAN}),
    "queue": _QUEUE,
    "priority": _PRIORITY,
    "onLost": one_of("retry", "fault"),
    "maxStarts": _from_to(1, 100),
    "rollback": BOOLEAN,
    "rethrow": BOOLEAN,
    "concurrency": _from_to(1, 1000),
    "onMemberFault": one_of("withdraw", "finish"),
    "timeLimit": ref("duration"),
    "expires": ref("duration"),
    "errback": BOOLEAN,
    "lookBack": ref("duration"),
    "secretsInData": BOOLEAN,
}

#: A compensation can have a retry policy, or the name of one.
COMPENSATION: dict[str, Schema] = {**TASK, "retry": ref("retry-or-name")}

#: The policies of a schedule. The scheduler defines their meaning.
SCHEDULE: dict[str, Schema] = {
    "timezone": LITERAL,
    "daylightSaving": mapping(
        {"missing": one_of("run", "skip"), "repeated": one_of("first", "last", "both")}
    ),
    "misfire": one_of("skip", "once", "all"),
    "cap": _from_to(1, 1000),
    "grace": ref("duration"),
    "overlap": one_of("allow", "skip", "queue", "cancel"),
    "jitter": ref("duration"),
    "input": {"text": "placeholder"},
}

DOCUMENT: dict[str, Schema] = {
    "onFault": one_of("compensate", "hold"),
    "secretsInData": BOOLEAN,
    "values": one_of("json", "celery"),
    "generated": BOOLEAN,
    "schedule": open_mapping(SCHEDULE),
}

CELERY = mapping(
    {
        "task": {**TEMPLATE, "minLength": 1, "expectation": "the name of a Celery task"},
        "args": by_type(string=ref("expression"), array=list_of(ANY_TEMPLATE)),
        "kwargs": by_type(string=ref("expression"), object=TEMPLATES),
        "queue": _QUEUE,
        "priority": _PRIORITY,
    },
    ["task"],
)


def tables() -> Schema:
    """Return these schemas as `$defs`, beside those of the newest revision of the language."""
    return {
        "metadata-task": open_mapping(TASK),
        "metadata-compensation": open_mapping(COMPENSATION),
        "metadata-document": open_mapping(DOCUMENT),
        "celery": CELERY,
    }
