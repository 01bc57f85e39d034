"""Deployed workflows: immutable versions, stored once, read often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrator.core.model import Json
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import OPEN
from orchestrator.database.keyset_pages import Page, Scope, equal, page
from orchestrator.document.version_order import version_key
from orchestrator.json_codec import dumps


@dataclass(frozen=True, slots=True)
class NewWorkflow:
    """A version to deploy. `digest` is that of the document in canonical form."""

    id: str
    namespace: str
    name: str
    version: str
    digest: str
    document: Json
    source: str
    media_type: str
    warnings: Sequence[dict[str, Any]] = ()

    @property
    def generated(self) -> bool:
        """Whether a program has made the document (``metadata.generated``)."""
        metadata = self.document["document"].get("metadata")
        return isinstance(metadata, dict) and metadata.get("generated") is True


@dataclass(frozen=True, slots=True)
class Version:
    """A deployed version; `document` and `warnings` are JSON text, None where they were not
    read."""

    id: str
    namespace: str
    name: str
    version: str
    digest: str
    created_at: datetime
    document: str | None = None
    warnings: str | None = None


_COLUMNS = "id::text, namespace, name, version, digest, created_at"
_WHOLE = _COLUMNS + ", document::text, warnings::text"
_ONE = "namespace = %s and name = %s and version = %s and retired_at is null"


def put(transaction: Transaction, new: NewWorkflow) -> bool:
    """Add a version unless one of this name and number exists. Return whether it was added."""
    row = transaction.one(
        """
        insert into orchestrator.workflows (
          id, namespace, name, version, version_key, digest, document, source, media_type,
          warnings, generated)
        values (%(id)s, %(namespace)s, %(name)s, %(version)s, %(version_key)s, %(digest)s,
          %(document)s, %(source)s, %(media_type)s, %(warnings)s, %(generated)s)
        on conflict (namespace, name, version) do nothing
        returning 1
        """,
        {
            "id": new.id,
            "namespace": new.namespace,
            "name": new.name,
            "version": new.version,
            "version_key": version_key(new.version),
            "digest": new.digest,
            "document": dumps(new.document),
            "source": new.source,
            "media_type": new.media_type,
            "warnings": dumps(list(new.warnings)),
            "generated": new.generated,
        },
    )
    if row is None and new.generated:
        _renew(transaction, new)
    return row is not None


def _renew(transaction: Transaction, new: NewWorkflow) -> None:
    """Take back a generated version that was retired: it is deployed again."""
    transaction.all(
        """
        update orchestrator.workflows set retired_at = null, last_deployed_at = clock_timestamp()
        where namespace = %s and name = %s and version = %s
        """,
        (new.namespace, new.name, new.version),
    )


def get(session: Session, namespace: str, name: str, version: str | None) -> Version | None:
    """Return a version with its document; the newest where `version` is None."""
    if version is None:
        row = session.one(
            f"""
            select {_WHOLE} from orchestrator.workflows
            where namespace = %s and name = %s and retired_at is null
            order by version_key desc limit 1
            """,
            (namespace, name),
        )
    else:
        row = session.one(
            f"select {_WHOLE} from orchestrator.workflows where {_ONE}",
            (namespace, name, version),
        )
    return Version(*row) if row else None


def source(session: Session, id: str) -> str:
    """Return the deployed text, as it was sent."""
    row = session.one("select source from orchestrator.workflows where id = %s", (id,))
    return str(row[0]) if row else ""


def versions(session: Session, namespace: str, name: str) -> list[Version]:
    """Return every version of a workflow, newest first, without documents."""
    rows = session.all(
        f"""
        select {_COLUMNS} from orchestrator.workflows
        where namespace = %s and name = %s
        order by version_key desc
        """,
        (namespace, name),
    )
    return [Version(*row) for row in rows]


def listed(
    session: Session,
    scope: Scope,
    *,
    namespace: str | None = None,
    contains: str | None = None,
    limit: int = 50,
    after: Sequence[Any] | None = None,
) -> Page:
    """Return workflows by namespace and name, each with its newest version, title and summary."""
    newest = """
        select distinct on (namespace, name) namespace, name, version,
          document #>> '{document,title}' as title, document #>> '{document,summary}' as summary,
          created_at
        from orchestrator.workflows
        order by namespace, name, version_key desc
    """
    return page(
        session,
        f"select namespace, name, version, title, summary, created_at from ({newest}) w",
        [
            scope.condition("namespace"),
            equal("namespace", namespace or None),
            (
                "position(lower(%(contains)s) in lower(name)) > 0",
                {"contains": contains},
            )
            if contains
            else None,
        ],
        order=("namespace", "name"),
        limit=limit,
        after=after,
    )


def names(session: Session, namespace: str) -> set[str]:
    """Return the names of the workflows of a namespace."""
    rows = session.all(
        "select distinct name from orchestrator.workflows where namespace = %s", (namespace,)
    )
    return {row[0] for row in rows}


def known_tasks(session: Session) -> set[str]:
    """Return the names of the Celery tasks that a worker has reported within the last day."""
    rows = session.all(
        """
        select distinct unnest(tasks) from orchestrator.workers
        where last_heartbeat_at > clock_timestamp() - interval '1 day'
        """
    )
    return {row[0] for row in rows}


#: How far the clocks of two of our own machines may differ.
_SKEW = timedelta(hours=1)


#: The condition for an instance that needs its document: it has not ended, a step in it can still
#: be undone, or its parent may still undo it.
NEEDED = f"""
 (i.status in {OPEN} or i.compensation = 'running'
  or exists (select from orchestrator.steps s
              where s.instance_id = i.id and s.undoable is not null)
  or exists (select from orchestrator.steps p
              where p.instance_id = i.parent_instance and p.id = i.parent_step
                and (p.compensated_by is not null or p.status in {OPEN})))
"""


def in_use(session: Session, ids: Sequence[str]) -> bool:
    """Whether an instance of one of these versions has not ended, or can be compensated."""
    row = session.one(
        f"""
        select exists (
          select from orchestrator.instances i
          where i.workflow_id = any(%(ids)s::uuid[]) and {NEEDED})
        """,
        {"ids": list(ids)},
    )
    return bool(row and row[0])


def remove(transaction: Transaction, ids: Sequence[str], checked: datetime) -> bool:
    """Remove versions unless an instance of theirs was started meanwhile. Return whether they were
    removed.

    Call it in a transaction, after `in_use` returned False at the time `checked`: starts wait only
    while the instances created since then are checked. It waits for transitions that hold a row
    lock, since one may be starting a sub-workflow, but no longer than `LOCKING` allows: later
    statements wait too, and a VACUUM or CREATE INDEX can hold the table for hours. Raises
    `LockTimeout`.
    """
    transaction.all("lock table orchestrator.instances in exclusive mode")
    row = transaction.one(
        f"""
        select exists (
          select from orchestrator.instances i
          where i.workflow_id = any(%(ids)s::uuid[]) and i.created_at > %(after)s and {NEEDED})
        """,
        {"ids": list(ids), "after": checked - _SKEW},
    )
    if row and row[0]:
        return False
    transaction.all("delete from orchestrator.workflows where id = any(%s::uuid[])", (list(ids),))
    return True
