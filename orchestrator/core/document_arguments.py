"""What a call's arguments take from the document alone, whatever its expressions yield.

Where a call goes and how it proves who it is stands in the document. An expression there
yields a text or another scalar, never an object: an object out of an input could bring its own
`authentication` and so send a declared secret anywhere. The names of authentications and of
secrets are not evaluated at all. Only headers, a query, a body and parameters are data.
"""

from __future__ import annotations

from orchestrator.core import dsl_errors
from orchestrator.core.model import Json

#: Arguments whose value is data: an expression may yield anything for them.
_DATA = frozenset(
    {"arguments", "body", "headers", "message", "parameters", "query", "subscription"}
)


def authored(stored: Json, filled: Json) -> dict[str, Json]:
    """The arguments of a call: `filled`, which is `stored` with its expressions evaluated, in
    the structure that `stored` has.

    Raises:
        Fault: configuration where the arguments are no object in the document; validation
            where an expression yields an object or a list for what takes a text.
    """
    if not isinstance(stored, dict) or not isinstance(filled, dict):
        raise dsl_errors.configuration("the arguments of a call must be an object in the document")
    return {key: filled[key] if key in _DATA else _structure(key, stored, filled) for key in stored}


def policy(stored: Json, filled: Json) -> Json:
    """An authentication policy in the structure that the document gives it.

    Raises:
        Fault: validation where an expression yields an object or a list.
    """
    return _part("authentication", stored, filled)


def _structure(key: str, stored: dict[str, Json], filled: dict[str, Json]) -> Json:
    """One member of an object. A name that selects a secret or an authentication is literal."""
    own = stored[key]
    if isinstance(own, str) and key in ("use", "authentication"):
        return own
    return _part(key, own, filled[key])


def _part(key: str, stored: Json, filled: Json) -> Json:
    if isinstance(stored, dict):
        return {name: _structure(name, stored, filled) for name in stored}
    if isinstance(stored, list):
        return [_part(key, one, found) for one, found in zip(stored, filled, strict=True)]
    if isinstance(filled, dict | list):
        raise dsl_errors.validation(
            f"an expression gives {key!r} a text, never an object or a list"
        )
    return filled
