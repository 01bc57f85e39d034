"""Paths of the API from text of users.

Servers decode a path before they route it, so an escaped slash would name another resource. No id
and no name of the API contains a slash or is empty: such a text raises 404 here, without a request.
"""

from __future__ import annotations

from urllib.parse import quote

from orchestrator.client.errors import ApiError

#: Parts that clients and servers remove from a path.
_DOTS = frozenset({"", ".", ".."})


def path(*parts: str | int) -> str:
    """``path("instances", id, "steps")`` is ``/v1/instances/{id}/steps``, each part escaped.

    Raises `ApiError` 404 if a part cannot be an id or a name.
    """
    return "/v1/" + "/".join(_part(str(part)) for part in parts)


def workflow_path(workflow: str, version: str | None = None) -> str:
    """Return the path of ``"namespace/name"`` (default namespace: ``default``), or of one version.

    Raises `ApiError` 404 if it cannot be a workflow.
    """
    namespace, slash, name = workflow.partition("/")
    parts = (namespace, name) if slash else ("default", workflow)
    versions = () if version is None else ("versions", version)
    return path("workflows", *parts, *versions)


def _part(text: str) -> str:
    if text in _DOTS or not set("/\\\0").isdisjoint(text):
        raise _not_found(text)
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:  # an argument that is not UTF-8
        raise _not_found(text) from None


def _not_found(text: str) -> ApiError:
    shown = text.encode("utf-8", "backslashreplace").decode()[:100]
    return ApiError(404, {"title": "Not found", "detail": f"there is nothing named {shown!r}"})
