"""What people (and parents) tell an instance to do. The data of a COMMAND stimulus is

    command   cancel, terminate, suspend, resume, retry, skip, compensate, compensation,
              abandon or mend
    reason    why; `by`: who (both go into history)

and for each command what its function says. A command that does not fit the instance's state
is refused and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.core.commands import asking
from orchestrator.core.commands.mending import mend
from orchestrator.core.commands.pausing import resume, suspend
from orchestrator.core.commands.refused import Refused
from orchestrator.core.commands.repairing import skip
from orchestrator.core.commands.stopping import abandon, cancel, terminate
from orchestrator.core.commands.undoing import compensate, settle_letter
from orchestrator.core.values import Json
from orchestrator.core.work import Draft

COMMANDS: Mapping[str, Callable[[Draft, Mapping[str, Json]], None]] = {
    "cancel": cancel,
    "terminate": terminate,
    "suspend": suspend,
    "resume": resume,
    "retry": asking.retry,
    "skip": skip,
    "compensate": compensate,
    "compensation": settle_letter,
    "abandon": abandon,
    "mend": mend,
}

__all__ = ["COMMANDS", "Refused", "obey", "refuse"]


def obey(draft: Draft, data: Mapping[str, Json]) -> None:
    """Carry out the command that a stimulus brings. Raises `Refused`."""
    command = COMMANDS.get(str(data.get("command")))
    if command is None:
        raise Refused(f"there is no command {data.get('command')!r}")
    command(draft, data)


def refuse(draft: Draft, data: Mapping[str, Json], reason: str) -> bool:
    """Whether somebody must be told that the command was refused: the parent whose retry it
    was. Then `draft`, in which nothing has been decided yet, tells it."""
    if data.get("command") != "retry" or data.get("ask", 0) <= draft.root.recall("ask", 0):
        return False
    asking.refuse(draft, data, reason)
    return True
