"""What `run.shell` and `run.script` have in common (dsl-reference.md, Run): whether they may run,
their arguments, and what they return."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator import json_codec
from orchestrator.calls import call_errors
from orchestrator.calls.call_context import CallContext
from orchestrator.calls.process_policy import ProcessPolicy
from orchestrator.process_runner import (
    Bounds,
    Command,
    Ended,
    GuardianLost,
    Isolation,
    available_isolation,
    launch,
    run,
)

Json = Any

#: Seconds that a command may run, where no timeout of the workflow is nearer.
DEADLINE = 60.0
#: Most characters of the error output in an error's detail: its end says what went wrong.
MAX_DETAIL = 1000
#: Most bytes of one argument or variable: the kernel takes no longer one.
MAX_ARGUMENT = 128 * 1024 - 1

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def text_of(value: Json, what: str) -> str:
    """Return an argument as the process gets it: a text unchanged, anything else as JSON. Raises
    `WorkflowError` (validation) for what no process can get."""
    text = value if isinstance(value, str) else json_codec.dumps(value)
    if "\0" in text:
        raise call_errors.validation(f"{what} contains a NUL character, which ends a text there")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_ARGUMENT:
        raise call_errors.validation(
            f"{what} is longer than {MAX_ARGUMENT} bytes; pass it by `stdin`"
        )
    return text


def arguments_of(value: Json) -> list[str]:
    """Return the arguments of a process. A list is passed in its order; a map becomes ``--name
    value``, without those that are null. Raises `WorkflowError` (validation)."""
    if value is None:
        return []
    if isinstance(value, list):
        return [text_of(item, f"arguments[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, dict):
        raise call_errors.validation("the arguments of a process are a list or an object")
    found: list[str] = []
    for name, item in value.items():
        if item is True:
            found.append(f"--{name}")
        elif item is not None and item is not False:
            found += [f"--{name}", text_of(item, f"arguments.{name}")]
    return found


def environment_of(value: Json) -> dict[str, str]:
    """Return the variables of a process. Raises `WorkflowError` (validation)."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise call_errors.validation("the environment of a process is an object")
    for name in value:
        if _VARIABLE.fullmatch(name) is None:
            raise call_errors.validation(f"{name!r} is no name of an environment variable")
    return {name: text_of(item, f"environment.{name}") for name, item in value.items()}


def stdin_of(value: Json) -> bytes:
    """Return the standard input of a process."""
    if value is None:
        return b""
    text = value if isinstance(value, str) else json_codec.dumps(value)
    return text.encode("utf-8", "surrogatepass")


def require_allowed(kind: str, policy: ProcessPolicy) -> Isolation:
    """Return the isolation that a process gets. Raises `WorkflowError` (configuration) if the
    installation does not allow it here, or this machine cannot isolate it well enough."""
    if kind not in policy.allowed:
        raise call_errors.configuration(
            f"the installation does not allow run.{kind} in this namespace"
            f" (ORCHESTRATOR_RUN_{kind.upper()})"
        )
    available = available_isolation()
    if not available.reaches(policy.least_isolation):
        raise call_errors.configuration(
            f"this worker can isolate processes by {available.value!r} at best, and"
            f" ORCHESTRATOR_RUN_ISOLATION asks for {policy.least_isolation.value!r};"
            " installing bubblewrap usually gives 'namespaces'"
        )
    return available


def perform(
    command: Command,
    arguments: Mapping[str, Json],
    context: CallContext,
    isolation: Isolation,
    faulting: frozenset[str],
) -> Json:
    """Run a command, and return what the task's `return` selects; the task's input at once if it
    does not await the command. `faulting` are the values of `return` with which a non-zero exit
    status is an error. Raises `WorkflowError`: runtime (500) or timeout (408)."""
    deadline = DEADLINE if context.timeout is None else context.timeout
    bounds = Bounds(deadline, context.processes.max_output)
    try:
        if arguments.get("await") is False:
            launch(command, bounds, isolation)
            return context.input
        ended = run(command, bounds, isolation)
    except GuardianLost as lost:
        raise call_errors.runtime(str(lost)) from lost
    returns = arguments.get("return") or "stdout"
    _raise_if_ended_early(ended, bounds)
    if ended.code and returns in faulting:
        data = output_of(ended, "all")
        raise call_errors.runtime(
            _failure(f"it ended with the exit status {ended.code}", ended), data
        )
    return output_of(ended, returns)


def _raise_if_ended_early(ended: Ended, bounds: Bounds) -> None:
    if ended.reason == "deadline":
        raise call_errors.timeout(f"the process did not end within {bounds.deadline:g} s")
    if ended.reason == "output":
        raise call_errors.runtime(
            f"the process wrote more than {bounds.max_output} bytes (ORCHESTRATOR_MAX_PAYLOAD)"
        )
    if ended.reason is not None or ended.code is None:
        raise call_errors.runtime("the process was ended before its time")
    if ended.code < 0:
        raise call_errors.runtime(_failure(f"signal {-ended.code} ended it", ended))


def _failure(detail: str, ended: Ended) -> str:
    end = ended.stderr.strip()[-MAX_DETAIL:]
    return f"{detail}: {end}" if end else detail


def output_of(ended: Ended, returns: str) -> Json:
    """Return the part of a process's result that `return` selects (dsl-reference.md, Process
    Result). One newline at the end of a text is left out, as shells do."""
    if returns == "none":
        return None
    if returns == "code":
        return ended.code
    stdout, stderr = (text.removesuffix("\n") for text in (ended.stdout, ended.stderr))
    if returns == "all":
        return {"code": ended.code, "stdout": stdout, "stderr": stderr}
    return stderr if returns == "stderr" else stdout
