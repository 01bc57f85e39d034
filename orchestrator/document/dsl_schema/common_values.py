"""Values that several topics use: expressions, durations, URIs, endpoints, schemas of data
(dsl-reference.md, Duration to URI Template, Input, Output, Export, Schema)."""

from __future__ import annotations

from orchestrator.document.dsl_schema.schema_builders import (
    INTEGER,
    LITERAL,
    PROGRAM_OR_TEMPLATES,
    TEMPLATE,
    Revision,
    Schema,
    by_type,
    exactly_one,
    mapping,
    matching,
    ref,
    template,
)

#: A whole string that is `${ ... }`, on one line.
EXPRESSION = r"^\s*\$\{.+\}\s*$"

_DECIMAL = r"\d+(?:\.\d+)?"


def _parts(units: str) -> str:
    return "".join(f"(?:{_DECIMAL}{unit})?" for unit in units)


#: An ISO 8601 duration. Years and months are allowed, negative parts are not.
ISO_DURATION = rf"^P(?!$){_parts('YMWD')}(?:T(?=\d){_parts('HMS')})?$"

#: January requires an absolute URI with `//`; July accepts any reference (RFC 3986, appendix B).
URI = {
    Revision.JANUARY: r"^[A-Za-z][A-Za-z0-9+.\-]*://.*",
    Revision.JULY: r"^(?!\$\{)(?=\S)(?:[^:/?#]+:)?[^?#\s]*(?:\?[^#\s]*)?(?:#\S*)?$",
}
_URI_EXPECTATION = {
    Revision.JANUARY: "an absolute URI, like 'https://example.com/path'",
    Revision.JULY: "a URI, like 'https://example.com/path'",
}
DURATION_UNITS = ("days", "hours", "minutes", "seconds", "milliseconds")
_DURATION_EXPECTATION = "a duration: 'PT15M' (ISO 8601), {minutes: 15}, or an expression '${ ... }'"


def definitions(revision: Revision) -> dict[str, Schema]:
    """Return these values as `$defs`."""
    uri, expectation = URI[revision], _URI_EXPECTATION[revision]
    uri_or_expression = template(
        f"{uri}|{EXPRESSION}", f"{expectation}, or an expression '${{ ... }}'"
    )
    return {
        "expression": template(EXPRESSION, "an expression '${ ... }' on one line"),
        "uri": matching(uri, expectation),
        "uri-or-expression": uri_or_expression,
        "duration": {**_duration(), "expectation": _DURATION_EXPECTATION},
        "endpoint": by_type(
            string=uri_or_expression,
            object=mapping(
                {"uri": ref("uri-or-expression"), "authentication": ref("authentication-or-name")},
                ["uri"],
            ),
        ),
        "resource": mapping({"name": TEMPLATE, "endpoint": ref("endpoint")}, ["endpoint"]),
        "schema": _schema(),
        "input": mapping({"schema": ref("schema"), "from": PROGRAM_OR_TEMPLATES}),
        "output": mapping({"schema": ref("schema"), "as": PROGRAM_OR_TEMPLATES}),
        "export": mapping({"schema": ref("schema"), "as": PROGRAM_OR_TEMPLATES}),
        "timeout": mapping({"after": ref("duration")}, ["after"]),
        "timeout-or-name": by_type(string=LITERAL, object=ref("timeout")),
        "catalog": mapping({"endpoint": ref("endpoint")}, ["endpoint"]),
    }


def _duration() -> Schema:
    text = template(f"{ISO_DURATION}|{EXPRESSION}", _DURATION_EXPECTATION)
    units = mapping(dict.fromkeys(DURATION_UNITS, INTEGER), minProperties=1)
    return by_type(string=text, object=units)


def _schema() -> Schema:
    keys = {"format": LITERAL, "document": {"text": "own"}, "resource": ref("resource")}
    return mapping(keys, **exactly_one("document", "resource"))
