"""Workflow versions, compiled once per process: a deployed version never changes."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from orchestrator.document.model import Workflow
from orchestrator.errors import NotFound
from orchestrator.state_manager.store_protocol import Documents


class WorkflowCache:
    """The `size` most recently used compiled documents of this process, by the id of their row."""

    def __init__(self, store: Documents, size: int = 256) -> None:
        self._store = store
        self._size = size
        self._cached: OrderedDict[str, Workflow] = OrderedDict()
        self._lock = Lock()

    def get(self, id: str, store: Documents | None = None) -> Workflow:
        """Return the workflow of a row; it is read from `store` if it is not cached. Raises
        `NotFound`.

        A caller with an open transaction passes it as `store`: it could wait forever for a second
        connection.
        """
        with self._lock:
            if id in self._cached:
                self._cached.move_to_end(id)
                return self._cached[id]
        workflow = _load(id, store or self._store)
        with self._lock:
            self._cached[id] = workflow
            if len(self._cached) > self._size:
                self._cached.popitem(last=False)
        return workflow


def _load(id: str, store: Documents) -> Workflow:
    document = store.document(id)
    if document is None:
        raise NotFound(f"there is no workflow version {id}")
    return Workflow(document)
