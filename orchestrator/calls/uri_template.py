"""URI templates in the form of the DSL (dsl-reference.md, URI Template).

Only simple string expansion of RFC 6570. A name is a top-level property as it is written:
`{pet.id}` is the property `pet.id`. A missing property expands to an empty text.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from orchestrator.calls import call_errors
from orchestrator.document.checks.http import ONLY_NAMES, has_operator

Json = Any

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_UNRESERVED = "-._~"


def expand(template: str, values: Json) -> str:
    """Replace each `{name}` by the value of that property, percent-encoded.

    Raises `WorkflowError` (expression, 400) for an object or array, and for the operators of RFC
    6570: ignoring them would call another URL than the author meant.
    """
    for match in _VARIABLE.finditer(template):
        if has_operator(match[1]):
            raise call_errors.expression(f"{match[0]}: {ONLY_NAMES}")
    properties = values if isinstance(values, dict) else {}
    return _VARIABLE.sub(lambda match: _encoded(match[1], properties.get(match[1])), template)


def _encoded(name: str, value: Json) -> str:
    if isinstance(value, dict | list):
        raise call_errors.expression(f"{{{name}}} of a URI is no text, number, boolean or null")
    return quote(text_of(value), safe=_UNRESERVED)


def text_of(value: Json) -> str:
    """Return a scalar as the text in a URI, a header or a form; null is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
