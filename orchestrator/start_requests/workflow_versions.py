"""A cache of workflow versions for starts.

A version never changes, so a cached one stays valid. The statement that starts an instance
checks whether the version is still the newest and still exists.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator import json_codec
from orchestrator.core.model import Json
from orchestrator.database.connection.session import Session
from orchestrator.database.workflows import workflow_queries
from orchestrator.document.message_text import nearest_word, suggestion
from orchestrator.expressions import Evaluate, ExpressionError
from orchestrator.schemas import DataSchema, SchemaUnusable

#: Versions cached by one process; at the bound the cache is cleared.
MAX_CACHED = 1000


@dataclass(frozen=True, slots=True)
class CachedVersion:
    """A version, with the schema of its input if it has one."""

    id: str
    namespace: str
    name: str
    version: str
    schema: DataSchema | None = field(compare=False)

    def errors(self, input: Json, evaluate: Evaluate) -> list[dict[str, str]]:
        """Return the errors of an input, ``{pointer, message}`` each; empty if it is valid.

        `evaluate` validates what takes long in the sandbox, which finds the first error only.
        Raises what it raises, except for an error of the workflow.
        """
        if self.schema is None:
            return []
        try:
            errors = self.schema.errors(input, evaluate)
        except SchemaUnusable:
            return []  # the core reports it when the instance starts
        except ExpressionError as failed:
            return [{"pointer": "", "message": str(failed)}]
        return [
            {"pointer": pointer(error.path), "message": error.message[:500]} for error in errors
        ]


Name = tuple[str, str, str | None]


def missing_message(session: Session, allowed: bool, *parts: str) -> str:
    """Return that there is no workflow with this namespace, name and version, and a similar one.

    If the caller may not see the namespace (not `allowed`), no similar workflow is named.
    """
    message = f"there is no workflow {'/'.join(part[:100] for part in parts)}"
    if not allowed:
        return message
    names = workflow_queries.names(session, parts[0])
    if parts[1] not in names:
        return message + suggestion(nearest_word(parts[1], names))
    newest = workflow_queries.get(session, parts[0], parts[1], None)
    return f"{message}; its newest version is {newest.version}" if newest else message


class Catalog:
    """The cached versions of one process, by namespace, name and version (None: the newest)."""

    def __init__(self) -> None:
        self._cached: dict[Name, CachedVersion] = {}
        self._lock = threading.Lock()

    def find(self, session: Session, name: Name) -> CachedVersion | None:
        """Return a version from the cache or the database, or None if there is none."""
        cached = self._cached.get(name)
        if cached is None:
            row = workflow_queries.get(session, *name)
            if row is None:
                return None
            document = json_codec.loads(row.document or "{}")
            cached = CachedVersion(row.id, row.namespace, row.name, row.version, _schema(document))
            with self._lock:
                if len(self._cached) >= MAX_CACHED:
                    self._cached.clear()
                self._cached[name] = cached
        return cached

    def evict(self, *names: Name) -> None:
        """Remove versions from the cache."""
        with self._lock:
            for name in names:
                self._cached.pop(name, None)


def pointer(path: Sequence[str | int]) -> str:
    """Return a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _schema(document: Json) -> DataSchema | None:
    """Return the schema of a workflow's input (dsl-reference, Input).

    Only one in the document itself. For any other the core reports the error when the instance
    starts.
    """
    described = (document.get("input") or {}).get("schema") or {}
    if "document" not in described or not str(described.get("format", "json")).startswith("json"):
        return None
    return DataSchema(described["document"])
