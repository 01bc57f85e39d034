"""Events, in and out (dsl-reference.md, Event Properties, Event Filter, Event Consumption
Strategy, Subscription Iterator)."""

from __future__ import annotations

from orchestrator.document.schema.values import EXPRESSION
from orchestrator.document.schema.words import (
    ANY,
    STRING,
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
    """Events as `$defs`."""
    # January leaves no choice: who emits names the source. July lets the runtime do it.
    required = ["type"] if revision is Revision.JULY else ["source", "type"]
    correlation = open_mapping({"from": STRING, "expect": STRING}, ["from"])
    return {
        "event": open_mapping(_attributes()),
        "event-out": ref("event", required=required),
        "event-filter": mapping(
            {"with": ref("event", minProperties=1), "correlate": mapping_of(correlation)},
            ["with"],
        ),
        "consumption": _strategy(by_type(string=ANY, object=ref("consumption-until"))),
        "consumption-until": _strategy(None),
        "iterator": mapping(
            {
                "item": STRING,
                "at": STRING,
                "do": ref("tasks"),
                "output": ref("output"),
                "export": ref("export"),
            }
        ),
    }


def _attributes() -> dict[str, Schema]:
    # Both alternatives of `time` in the official schema match an expression, and a value
    # that matches two is refused: what remains is a text that is no expression.
    time = {
        "type": "string",
        "not": {"pattern": EXPRESSION},
        "says": "a time; an expression cannot stand here",
    }
    return {
        "id": STRING,
        "source": ref("uri-or-expression"),
        "type": STRING,
        "time": time,
        "subject": STRING,
        "datacontenttype": STRING,
        "dataschema": ref("uri-or-expression"),
    }


def _strategy(until: Schema | None) -> Schema:
    """`all`, `any` or `one`; an `until` goes with `any`, and has none itself."""
    filters = list_of(ref("event-filter"))
    keys = {"all": filters, "any": filters, "one": ref("event-filter")}
    if until is None:
        return mapping(keys, **exactly_one(*keys))
    bound = {"dependentRequired": {"until": ["any"]}}
    return mapping({**keys, "until": until}, **exactly_one(*keys), **bound)
