"""Checks and deployments of built documents, whose errors name lines of code."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterable
from typing import Any

from orchestrator.document import DocumentError, load
from orchestrator.dsl.build import Built
from orchestrator.dsl.errors import BuildError
from orchestrator.dsl.origin import NOWHERE, located


def checked(built: Built) -> list[str]:
    """Check a document; return its warnings. Raises `BuildError`."""
    try:
        loaded = load(json.dumps(built.document), "application/json")
    except DocumentError as error:
        found = ((each.pointer, each.message) for each in error.problems)
        raise _error(built, found) from error
    return [_line(built, each.pointer, each.message) for each in loaded.warnings]


def deployed(client: Any, built: Built, dry_run: bool) -> Any:
    """Deploy a document by a client or an async client. Raises `BuildError` for a 422."""
    from orchestrator.client import ApiError

    try:
        answer = client.deploy(built.document, dry_run=dry_run)
    except ApiError as error:
        raise _of_api(built, error) from error
    return _awaited(answer, built) if isinstance(answer, Awaitable) else answer


async def _awaited(answer: Awaitable[Any], built: Built) -> Any:
    from orchestrator.client import ApiError

    try:
        return await answer
    except ApiError as error:
        raise _of_api(built, error) from error


def _of_api(built: Built, error: Any) -> Exception:
    if error.status != 422 or not error.errors:
        raised: Exception = error
        return raised
    return _error(built, ((each.get("pointer", ""), each["message"]) for each in error.errors))


def _error(built: Built, found: Iterable[tuple[str, str]]) -> BuildError:
    return BuildError("\n".join(_line(built, pointer, message) for pointer, message in found))


def _line(built: Built, pointer: str, message: str) -> str:
    return located(built.place(pointer) or NOWHERE, f"{pointer or 'the document'}: {message}")
