"""What the processes of `run` have in common (dsl-reference.md, Run)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.expressions import is_expression

#: The processes that a worker runs itself, by their kind, each with the members that must be the
#: document's own text.
LITERAL_ARGUMENTS: Mapping[str, frozenset[str]] = {
    "shell": frozenset({"command"}),
    "script": frozenset({"language", "code"}),
}


def source_address(process: Mapping[str, Any]) -> str | None:
    """Return the address that the document gives for a script; None without one."""
    source = process.get("source")
    endpoint = source.get("endpoint") if isinstance(source, dict) else None
    address = endpoint.get("uri") if isinstance(endpoint, dict) else endpoint
    return address if isinstance(address, str) else None


def is_constant_address(address: str) -> bool:
    """Whether an address is the same for every input: no expression, and no URI template."""
    return not is_expression(address) and "{" not in address
