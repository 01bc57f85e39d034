"""Paths of the API, made of outside text.

Servers decode a path before they route it, so an escaped slash would still name another
resource. No id and no name of the API has one, nor is any empty: such a text is answered here,
as the API answers what is not there.
"""

from __future__ import annotations

from urllib.parse import quote

from orchestrator.client.transport import ApiError

#: Parts that a client or a server takes out of a path.
_DOTS = frozenset({"", ".", ".."})


def path(*parts: str | int) -> str:
    """``path("instances", id, "steps")`` is ``/v1/instances/{id}/steps``, each part escaped.

    Raises `ApiError` 404 where a part can be no id and no name.
    """
    return "/v1/" + "/".join(_part(str(part)) for part in parts)


def workflow_path(workflow: str, version: str | None = None) -> str:
    """The path of ``"namespace/name"`` (without a namespace: ``default``), or of one version.

    Raises `ApiError` 404 where it can be no workflow.
    """
    namespace, slash, name = workflow.partition("/")
    parts = (namespace, name) if slash else ("default", workflow)
    versions = () if version is None else ("versions", version)
    return path("workflows", *parts, *versions)


def _part(text: str) -> str:
    if text in _DOTS or not set("/\\\0").isdisjoint(text):
        raise _nothing(text)
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:  # an argument that is not UTF-8
        raise _nothing(text) from None


def _nothing(text: str) -> ApiError:
    shown = text.encode("utf-8", "backslashreplace").decode()[:100]
    return ApiError(404, {"title": "Not found", "detail": f"there is nothing named {shown!r}"})
