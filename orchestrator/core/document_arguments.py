"""Which parts of a call's arguments the document alone decides, whatever its expressions return.

The document says where a call goes and how it authenticates. An expression there returns a text or
another scalar, never an object: an object from an input could contain its own `authentication` and
so send a declared secret anywhere. The names of authentications and of secrets are not evaluated at
all. Only headers, query, body, parameters, and what a process gets (arguments, environment,
standard input) are data.
"""

from __future__ import annotations

from orchestrator.core import dsl_errors
from orchestrator.core.model import Json

#: Arguments whose value is data: an expression may return anything for them.
_DATA = frozenset(
    {
        "arguments",
        "body",
        "environment",
        "headers",
        "message",
        "parameters",
        "query",
        "stdin",
        "subscription",
    }
)


def in_authored_structure(stored: Json, filled: Json) -> dict[str, Json]:
    """Return a call's arguments: `filled`, which is `stored` with its expressions evaluated, in the
    structure of `stored`.

    Raises:
        Fault: configuration if the arguments are no object in the document; validation if an
            expression returns an object or a list where a text is required.
    """
    if not isinstance(stored, dict) or not isinstance(filled, dict):
        raise dsl_errors.configuration("the arguments of a call must be an object in the document")
    return {key: filled[key] if key in _DATA else _structure(key, stored, filled) for key in stored}


def policy_in_authored_structure(stored: Json, filled: Json) -> Json:
    """Return an authentication policy in the structure that the document gives it.

    Raises:
        Fault: validation if an expression returns an object or a list.
    """
    return _part("authentication", stored, filled)


def _structure(key: str, stored: dict[str, Json], filled: dict[str, Json]) -> Json:
    """Return one member of an object. Names of secrets and authentications are literal."""
    value = stored[key]
    if isinstance(value, str) and key in ("use", "authentication"):
        return value
    return _part(key, value, filled[key])


def _part(key: str, stored: Json, filled: Json) -> Json:
    if isinstance(stored, dict):
        return {name: _structure(name, stored, filled) for name in stored}
    if isinstance(stored, list):
        return [_part(key, old, new) for old, new in zip(stored, filled, strict=True)]
    if isinstance(filled, dict | list):
        raise dsl_errors.validation(
            f"an expression for {key!r} must return a text, not an object or a list"
        )
    return filled
