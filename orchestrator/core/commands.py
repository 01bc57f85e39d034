"""What people (and parents) may tell an instance to do: cancel, terminate, suspend, resume,
retry, skip, compensate, and settle a dead letter."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.core import ends
from orchestrator.core.values import Json
from orchestrator.core.work import Draft
from orchestrator.errors import OrchestratorError


class Refused(OrchestratorError):
    """The command does not fit the instance's present state; nothing was changed."""


def _reason(data: Mapping[str, Json]) -> dict[str, Json]:
    return {name: data[name] for name in ("reason", "by") if data.get(name) is not None}


def cancel(draft: Draft, data: Mapping[str, Json]) -> None:
    """Stop, and undo what was completed."""
    if not draft.root.is_open:
        raise Refused(f"the instance is {draft.root.status} already")
    ends.cancel(draft, _reason(data), undo=True)


def terminate(draft: Draft, data: Mapping[str, Json]) -> None:
    """Stop, and undo nothing."""
    if not draft.root.is_open:
        raise Refused(f"the instance is {draft.root.status} already")
    ends.cancel(draft, _reason(data), undo=False)


COMMANDS: Mapping[str, Callable[[Draft, Mapping[str, Json]], None]] = {
    "cancel": cancel,
    "terminate": terminate,
}


def obey(draft: Draft, data: Mapping[str, Json]) -> None:
    """Carry out the command that a stimulus brings. Raises `Refused`."""
    command = COMMANDS.get(str(data.get("command")))
    if command is None:
        raise Refused(f"there is no command {data.get('command')!r}")
    command(draft, data)
