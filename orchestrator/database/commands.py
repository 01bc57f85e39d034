"""Commands to instances: stimuli, put in only where the instance's status allows."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.values import ENDED, Json, StimulusKind
from orchestrator.database import stimuli
from orchestrator.database.pages import Scope
from orchestrator.database.slices import Reader
from orchestrator.errors import NotFound


@dataclass(frozen=True, slots=True)
class Target:
    """An instance as a command finds it."""

    id: str
    namespace: str
    status: str
    compensation: str
    run: int
    sequence: int


def target(reader: Reader, id: str, scope: Scope) -> Target:
    """The instance that is meant. Raises `NotFound`, also outside the scope."""
    row = reader.one(
        "select id::text, namespace, status, compensation, run, sequence"
        " from orchestrator.instances where id = %s",
        (id,),
    )
    if row is None or not scope.has(row[1]) or not _stays(reader, id, row[2]):
        raise NotFound(f"there is no instance {id}")
    return Target(*row)


def _stays(reader: Reader, id: str, status: str) -> bool:
    """Whether the instance can't go to the archive until the transaction has ended: one that
    has ended might."""
    if status not in ENDED:
        return True
    lock = "select 1 from orchestrator.instances where id = %s for key share"
    return reader.one(lock, (id,)) is not None


def put(cursor: Reader, instance: str, data: Json) -> None:
    """Leave the command in the instance's inbox. Which steps it needs, the core says itself."""
    stimuli.put(cursor, instance, StimulusKind.COMMAND, data=data)
