"""Commands of people and parents to an instance. The data of a COMMAND stimulus is

    command   cancel, terminate, suspend, resume, retry, skip, compensate, compensation,
              abandon or mend
    reason    the reason; `by`: the person (both go into history)

and the fields that the command's function describes. A command that does not fit the instance's
state is refused and changes nothing.
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
    "reconcile": reconcile,
}

__all__ = ["COMMANDS", "CommandRefused", "answer_refused_retry", "execute"]


def execute(draft: Draft, data: Mapping[str, Json]) -> None:
    """Execute the command of a stimulus. Raises `CommandRefused`."""
    command = COMMANDS.get(str(data.get("command")))
    if command is None:
        raise CommandRefused(f"there is no command {data.get('command')!r}")
    command(draft, data)


def answer_refused_retry(draft: Draft, data: Mapping[str, Json], reason: str) -> bool:
    """Answer a refused command of a parent (its retry), and return True: `draft`, empty before,
    then holds the answer. Return False for other commands."""
    is_retry = data.get("command") == "retry"
    if not is_retry or data.get("retry_run", 0) <= draft.root.get_state("retry_run", 0):
        return False
    parent_retry.refuse(draft, data, reason)
    return True
