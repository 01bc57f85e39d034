"""What the processes of `run` have in common (dsl-reference.md, Run)."""

from __future__ import annotations

from collections.abc import Mapping

#: The processes that a worker runs itself, by their kind, each with the members that must be the
#: document's own text.
LITERAL_ARGUMENTS: Mapping[str, frozenset[str]] = {
    "shell": frozenset({"command"}),
    "script": frozenset({"language", "code"}),
}
