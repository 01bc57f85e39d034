"""Workflow versions, compiled once a process: a version never changes once deployed."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from orchestrator.document.model import Workflow
from orchestrator.errors import NotFound
from orchestrator.state_manager.store_protocol import Documents


class WorkflowCache:
    """The compiled documents that this process has lately used, by the id of their row."""

    def __init__(self, store: Documents, size: int = 256) -> None:
        self._store = store
        self._size = size
        self._known: OrderedDict[str, Workflow] = OrderedDict()
        self._lock = Lock()

    def get(self, id: str, store: Documents | None = None) -> Workflow:
        """The workflow of a row, read from `store` where it is not known; raises `NotFound`.

        Who has a transaction open gives that: a second connection might not be free.
        """
        with self._lock:
            if id in self._known:
                self._known.move_to_end(id)
                return self._known[id]
        workflow = _load(id, store or self._store)
        with self._lock:
            self._known[id] = workflow
            if len(self._known) > self._size:
                self._known.popitem(last=False)
        return workflow


def _load(id: str, store: Documents) -> Workflow:
    document = store.document(id)
    if document is None:
        raise NotFound(f"there is no workflow version {id}")
    return Workflow(document)
