"""How a command is refused, and the checks that several commands share."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.draft_nodes import Node
from orchestrator.core.model import ROOT, Json
from orchestrator.core.transition_draft import Draft
from orchestrator.errors import OrchestratorError


class CommandRefused(OrchestratorError):
    """The command does not fit the instance's present state; nothing was changed.

    `later`: the same command may fit after a running attempt has ended.
    """

    def __init__(self, reason: str, *, later: bool = False) -> None:
        super().__init__(reason)
        self.later = later


def require_open(draft: Draft) -> None:
    """Raise `CommandRefused` if the instance has ended."""
    if not draft.root.is_open:
        raise CommandRefused(f"the instance is {draft.root.status} already")


def step_of(draft: Draft, id: Json) -> Node:
    """Return the step that a command names. Raises `CommandRefused` if there is none."""
    if not isinstance(id, int) or isinstance(id, bool) or id <= ROOT:
        raise CommandRefused(f"{id!r} is no step")
    try:
        return draft.node(id)
    except LookupError as error:
        raise CommandRefused(str(error)) from None


def reason(data: Mapping[str, Json]) -> dict[str, Json]:
    """Return ``reason`` and ``by`` of a command, as history records them."""
    return {name: data[name] for name in ("reason", "by") if data.get(name) is not None}
