"""Remote control of our own workers: they answer questions, and obey nobody.

Whoever reaches the broker can tell a Celery worker to shut down, to leave a queue or to kill a
task. Instances are told what to do through the API, which asks who is calling. What Flower and
``celery inspect`` ask for is answered, and worker events can be turned on and off, as Flower
does. Workers of a users' app keep what their app has chosen.
"""

from __future__ import annotations

from typing import Any

from celery import signals

_UID = "orchestrator.remote"

#: What changes nothing but whether somebody may watch.
HARMLESS = frozenset({"enable_events", "disable_events", "heartbeat"})


def disable_commands() -> None:
    """A worker that starts in this process obeys no commands."""
    signals.celeryd_init.connect(_forget_commands, weak=False, dispatch_uid=_UID)


def enable_commands() -> None:
    """It does after all."""
    signals.celeryd_init.disconnect(dispatch_uid=_UID)


def _forget_commands(**_: Any) -> None:
    from celery.worker.control import Panel

    panel: Any = Panel
    for name, command in list(panel.meta.items()):
        if command.type == "control" and name not in HARMLESS:
            for known in (name, command.alias):
                panel.data.pop(known, None)
            del panel.meta[name]
