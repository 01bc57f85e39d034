"""ETags, by which a client's change is refused if another client changed the resource first.

An instance's tag counts its transitions (see `api.resources.instances.etag`). The tag of a
schedule or subscription is a hash of its JSON.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from flask import request

from api.http import problem_types
from api.http.problems import Problem
from api.http.resource_blueprint import dumped

_IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "required": False,
    "schema": {"type": "string"},
    "description": "the `ETag` of what the client has read; if it has changed since, the answer is"
    " 412 and nothing is done",
}
_IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "required": False,
    "schema": {"type": "string"},
    "description": "the `ETag` of what the client has read; if it is unchanged, the answer is 304",
}


def describe(paths: Mapping[str, Any]) -> None:
    """Add the headers to the description of each operation that uses them."""
    for operations in paths.values():
        for operation in operations.values():
            answers = operation.get("responses", {}) if isinstance(operation, dict) else {}
            for status, header in (("412", _IF_MATCH), ("304", _IF_NONE_MATCH)):
                if status in answers:
                    operation.setdefault("parameters", []).append(header)


def tag_of(representation: Any) -> str:
    """Return the tag of a representation, without quotes."""
    return hashlib.blake2s(dumped(representation), digest_size=12).hexdigest()


def headers(tag: str) -> dict[str, str]:
    """Return the `ETag` header of a tag."""
    return {"ETag": f'"{tag}"'}


def require_match(tag: str, resource: str) -> None:
    """Refuse a change if the resource's tag is not in `If-Match`. Raises `Problem` 412.

    Call it while the row is locked. Without `If-Match` everything matches (RFC 9110, section
    13.1.1).
    """
    if request.if_match and tag not in request.if_match:
        raise Problem(
            problem_types.PRECONDITION, f"the {resource} has changed since its ETag was read"
        )
