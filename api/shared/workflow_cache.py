"""Workflow versions as starts need them, kept from request to request.

A version never changes, so what is kept of it stays true; which one is the newest, and
whether it is still there, is checked by the statement that starts.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import jsonschema_rs

from orchestrator import json_codec
from orchestrator.core.model import Json
from orchestrator.database.connection.database import Database
from orchestrator.database.workflows import workflow_queries
from orchestrator.document.message_text import nearest, suggestion

#: Versions remembered by one process.
MOST = 1000


@dataclass(frozen=True, slots=True)
class CachedVersion:
    """A version, with the compiled schema of its input where it has one."""

    id: str
    namespace: str
    name: str
    version: str
    schema: jsonschema_rs.Validator | None = field(compare=False)

    def errors(self, input: Json) -> list[dict[str, str]]:
        """What is wrong with an input: ``{pointer, message}`` each; empty if nothing."""
        if self.schema is None or self.schema.is_valid(input):
            return []
        return [
            {"pointer": pointer(error.instance_path), "message": error.message[:500]}
            for error in self.schema.iter_errors(input)
        ]


Name = tuple[str, str, str | None]


def missing(database: Database, allowed: bool, *parts: str) -> str:
    """That there is no workflow with this namespace, name and version, and which one may be
    meant. Of a namespace that the caller may not see (`allowed`) nothing is said."""
    shown = f"there is no workflow {'/'.join(part[:100] for part in parts)}"
    if not allowed:
        return shown
    known = workflow_queries.names(database, parts[0])
    if parts[1] not in known:
        return shown + suggestion(nearest(parts[1], known))
    newest = workflow_queries.get(database, parts[0], parts[1], None)
    return f"{shown}; its newest version is {newest.version}" if newest else shown


class Catalog:
    """The versions of one process, by namespace, name and version (None: the newest)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[Name, CachedVersion] = {}
        self._lock = threading.Lock()

    def find(self, name: Name) -> CachedVersion | None:
        """A version, from memory or the database."""
        known = self._known.get(name)
        if known is None:
            row = workflow_queries.get(self._database, *name)
            if row is None:
                return None
            document = json_codec.loads(row.document or "{}")
            known = CachedVersion(row.id, row.namespace, row.name, row.version, _schema(document))
            with self._lock:
                if len(self._known) >= MOST:
                    self._known.clear()
                self._known[name] = known
        return known

    def forget(self, *names: Name) -> None:
        """Look these up anew."""
        with self._lock:
            for name in names:
                self._known.pop(name, None)


def pointer(path: list[str | int]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _schema(document: Json) -> jsonschema_rs.Validator | None:
    """The compiled schema of a workflow's input (dsl-reference, Input).

    Only one that stands in the document itself and can be used: of any other, the core says
    what is wrong with it when the instance starts.
    """
    described = (document.get("input") or {}).get("schema") or {}
    if "document" not in described or not str(described.get("format", "json")).startswith("json"):
        return None
    try:
        return jsonschema_rs.validator_for(
            described["document"], offline=True, validate_formats=True
        )
    except (ValueError, TypeError):
        return None
