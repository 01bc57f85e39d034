"""Events that are consumed and emitted (dsl-reference.md, Event Properties, Event Filter, Event
Consumption Strategy, Subscription Iterator)."""

from __future__ import annotations

from orchestrator.document.dsl_schema.common_values import EXPRESSION
from orchestrator.document.dsl_schema.schema_builders import (
    LITERAL,
    PROGRAM,
    TEMPLATE,
    Revision,
    Schema,
    by_type,
    exactly_one,
    list_of,
    mapping,
    mapping_of,
    open_mapping,
    ref,
)

READ = ("data", "envelope", "raw")


def definitions(revision: Revision) -> dict[str, Schema]:
    """Return events as `$defs`."""
    # Require `source` of an event only in the January revision. In the July revision the author may
    # leave it out, and the runtime sets it.
    required = ["type"] if revision is Revision.JULY else ["source", "type"]
    correlation = open_mapping({"from": PROGRAM, "expect": PROGRAM}, ["from"])
    return {
        "event": {**open_mapping(_attributes()), "text": "template"},
        "event-out": ref("event", required=required),
        "event-filter": mapping(
            {"with": ref("event", minProperties=1), "correlate": mapping_of(correlation)},
            ["with"],
        ),
        "consumption": _strategy(by_type(string=PROGRAM, object=ref("consumption-until"))),
        "consumption-until": _strategy(None),
        "iterator": mapping(
            {
                "item": LITERAL,
                "at": LITERAL,
                "do": ref("tasks"),
                "output": ref("output"),
                "export": ref("export"),
            }
        ),
    }


def _attributes() -> dict[str, Schema]:
    # Refuse expressions here, as the official schema does in effect: it allows exactly one of a
    # time and an expression (`oneOf`). Each expression matches both alternatives, so `oneOf`
    # refuses all expressions.
    time = {
        **LITERAL,
        "not": {"pattern": EXPRESSION},
        "expectation": "a time; an expression is not allowed here",
    }
    return {
        "id": TEMPLATE,
        "source": ref("uri-or-expression"),
        "type": TEMPLATE,
        "time": time,
        "subject": TEMPLATE,
        "datacontenttype": TEMPLATE,
        "dataschema": ref("uri-or-expression"),
    }


def _strategy(until: Schema | None) -> Schema:
    """Return the schema of `all`, `any` or `one`. `until` belongs to `any` and cannot contain
    another `until`."""
    filters = list_of(ref("event-filter"))
    keys = {"all": filters, "any": filters, "one": ref("event-filter")}
    if until is None:
        return mapping(keys, **exactly_one(*keys))
    bound = {"dependentRequired": {"until": ["any"]}}
    return mapping({**keys, "until": until}, **exactly_one(*keys), **bound)
