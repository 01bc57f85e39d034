"""`run: shell` (dsl-reference.md, Shell Process)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.calls import call_errors, process_call
from orchestrator.calls.call_context import CallContext
from orchestrator.process_runner import Command

Json = Any

#: A command that uses its arguments itself.
_USES_ARGUMENTS = re.compile(r"\$(?:[1-9@*#]|\{[1-9@*#])")
#: The values of `return` that show no exit status, so that a failure must be an error.
_FAULTING = frozenset({"stdout", "none"})


def perform(arguments: Mapping[str, Json], context: CallContext) -> Json:
    """Run a shell command and return what `return` selects.

    `arguments`: command, arguments, stdin, environment, return, await. The command is the
    document's text; data reaches it as arguments, variables and standard input only, so no input
    can become a command. Raises `WorkflowError`.
    """
    isolation = process_call.require_allowed("shell", context.processes)
    text = arguments.get("command")
    if not isinstance(text, str) or not text.strip():
        raise call_errors.validation("the shell command is empty")
    values = process_call.arguments_of(arguments.get("arguments"))
    command = Command(
        ["/bin/sh", "-c", _with_arguments(text) if values else text, "sh", *values],
        process_call.stdin_of(arguments.get("stdin")),
        process_call.environment_of(arguments.get("environment")),
    )
    return process_call.perform(command, arguments, context, isolation, _FAULTING)


def _with_arguments(text: str) -> str:
    """Return the command with its arguments after it, where it is one line that does not use them
    itself: ``command: echo`` with ``arguments: [hello]`` prints hello."""
    if "\n" in text.strip() or _USES_ARGUMENTS.search(text):
        return text
    return text.rstrip() + ' "$@"'
