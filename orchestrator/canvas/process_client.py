"""The client that durable canvases use if none was given: one a process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.client import Client

_clients: dict[int, Client] = {}


def process_client() -> Client:
    """Return this process's client. A forked child makes its own: connections can't be shared."""
    own = _clients.get(os.getpid())
    if own is None:
        from orchestrator.client import Client

        _clients.clear()
        own = _clients[os.getpid()] = Client()
    return own
