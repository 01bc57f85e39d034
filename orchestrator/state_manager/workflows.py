"""Workflow versions, compiled once a process: a version never changes once deployed."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from orchestrator.document.model import Workflow
from orchestrator.errors import NotFound
from orchestrator.state_manager.store import Store


class Workflows:
    """The compiled documents that this process has lately used, by the id of their row."""

    def __init__(self, store: Store, size: int = 256) -> None:
        self._store = store
        self._size = size
        self._known: OrderedDict[str, Workflow] = OrderedDict()
        self._lock = Lock()

    def get(self, id: str) -> Workflow:
        """The workflow of a row; raises `NotFound`."""
        with self._lock:
            if id in self._known:
                self._known.move_to_end(id)
                return self._known[id]
        workflow = self._load(id)
        with self._lock:
            self._known[id] = workflow
            if len(self._known) > self._size:
                self._known.popitem(last=False)
        return workflow

    def _load(self, id: str) -> Workflow:
        document = self._store.document(id)
        if document is None:
            raise NotFound(f"there is no workflow version {id}")
        return Workflow(document)
