"""Remote control of our own workers: they answer queries and execute no commands.

Every client of the broker can command a Celery worker to shut down, to leave a queue or to kill
a task. Commands to instances go through the API, which authenticates the caller. Our workers
answer the queries of Flower and ``celery inspect``, and Flower can turn worker events on and off.
Workers of a user's app keep that app's choice.
"""

from __future__ import annotations

from typing import Any

from celery import signals

_UID = "orchestrator.remote"

#: Commands that stay: they only turn the sending of events on and off.
HARMLESS = frozenset({"enable_events", "disable_events", "heartbeat"})


def disable_commands() -> None:
    """Let a worker that starts in this process execute no commands."""
    signals.celeryd_init.connect(_remove_commands, weak=False, dispatch_uid=_UID)


def enable_commands() -> None:
    """Undo `disable_commands`."""
    signals.celeryd_init.disconnect(dispatch_uid=_UID)


def _remove_commands(**_: Any) -> None:
    from celery.worker.control import Panel

    panel: Any = Panel
    for name, command in list(panel.meta.items()):
        if command.type == "control" and name not in HARMLESS:
            for key in (name, command.alias):
                panel.data.pop(key, None)
            del panel.meta[name]
