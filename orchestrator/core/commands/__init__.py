"""What people (and parents) tell an instance to do. The data of a COMMAND stimulus is

    command   cancel, terminate, suspend, resume, retry, skip, compensate, compensation,
              abandon or mend
    reason    why; `by`: who (both go into history)

and for each command what its function says. A command that does not fit the instance's state
is refused and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.core.commands import parent_retry
from orchestrator.core.commands.cancellation import abandon, cancel, terminate
from orchestrator.core.commands.manual_compensation import act_on_dead_letter, compensate
from orchestrator.core.commands.reconciliation import reconcile
from orchestrator.core.commands.refusal import CommandRefused
from orchestrator.core.commands.retry_and_skip import skip
from orchestrator.core.commands.suspension import resume, suspend
from orchestrator.core.model import Json
from orchestrator.core.transition_draft import Draft

COMMANDS: Mapping[str, Callable[[Draft, Mapping[str, Json]], None]] = {
    "cancel": cancel,
    "terminate": terminate,
    "suspend": suspend,
    "resume": resume,
    "retry": parent_retry.retry,
    "skip": skip,
    "compensate": compensate,
    "compensation": act_on_dead_letter,
    "abandon": abandon,
    "mend": reconcile,
}

__all__ = ["COMMANDS", "CommandRefused", "execute", "refuse"]


def execute(draft: Draft, data: Mapping[str, Json]) -> None:
    """Carry out the command that a stimulus brings. Raises `CommandRefused`."""
    command = COMMANDS.get(str(data.get("command")))
    if command is None:
        raise CommandRefused(f"there is no command {data.get('command')!r}")
    command(draft, data)


def refuse(draft: Draft, data: Mapping[str, Json], reason: str) -> bool:
    """Whether somebody must be told that the command was refused: the parent whose retry it
    was. Then `draft`, in which nothing has been decided yet, tells it."""
    if data.get("command") != "retry" or data.get("ask", 0) <= draft.root.get_state("ask", 0):
        return False
    parent_retry.refuse(draft, data, reason)
    return True
