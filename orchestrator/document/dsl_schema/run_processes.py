"""The processes that `run` can start (dsl-reference.md, Run)."""

from __future__ import annotations

from orchestrator.document.dsl_schema.schema_builders import (
    BOOLEAN,
    LIST_OF_TEMPLATES,
    LITERAL,
    TEMPLATE,
    TEMPLATES,
    Schema,
    exactly_one,
    mapping,
    one_of,
    ref,
    when,
)

PROCESSES = ("container", "script", "shell", "workflow")


def run() -> Schema:
    """Return the schema of `run`."""
    keys = {
        "await": BOOLEAN,
        "return": one_of("stdout", "stderr", "code", "all", "none"),
        "container": _container(),
        "script": _script(),
        "shell": _shell(),
        "workflow": _workflow(),
    }
    return mapping(keys, **exactly_one(*PROCESSES))


def _container() -> Schema:
    keys = {
        "image": TEMPLATE,
        "name": TEMPLATE,
        "command": TEMPLATE,
        "ports": TEMPLATES,
        "volumes": TEMPLATES,
        "environment": TEMPLATES,
        "stdin": TEMPLATE,
        "arguments": LIST_OF_TEMPLATES,
        "lifetime": _lifetime(),
        "pullPolicy": one_of("ifNotPresent", "always", "never"),
    }
    return mapping(keys, ["image"])


def _lifetime() -> Schema:
    keys = {"cleanup": one_of("always", "never", "eventually"), "after": ref("duration")}
    eventually = when(
        {"properties": {"cleanup": {"const": "eventually"}}},
        {"required": ["after"]},
        {
            "properties": {
                "after": {"not": {}, "expectation": "left out unless 'cleanup' is 'eventually'"}
            }
        },
    )
    return mapping(keys, ["cleanup"], **eventually)


def _script() -> Schema:
    keys = {
        "language": LITERAL,
        "stdin": TEMPLATE,
        "arguments": LIST_OF_TEMPLATES,
        "environment": TEMPLATES,
        "code": TEMPLATE,
        "source": ref("resource"),
    }
    return mapping(keys, ["language"], **exactly_one("code", "source"))


def _shell() -> Schema:
    keys = {
        "command": TEMPLATE,
        "stdin": TEMPLATE,
        "arguments": LIST_OF_TEMPLATES,
        "environment": TEMPLATES,
    }
    return mapping(keys, ["command"])


def _workflow() -> Schema:
    keys = {"namespace": TEMPLATE, "name": TEMPLATE, "version": TEMPLATE, "input": TEMPLATES}
    return mapping(keys, ["namespace", "name", "version"])
