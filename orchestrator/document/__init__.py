"""Parses, validates and checks documents, and compiles them for the interpreter.

    load(text, "application/yaml").document      # plain JSON, or a DocumentError
    Workflow(document)                           # orchestrator.document.model: to run it

To run a document, `model` is enough.
"""

from typing import TYPE_CHECKING, Any

from orchestrator.document.diagnostics import (
    Diagnostic,
    DocumentError,
    InvalidDocument,
    MalformedDocument,
)

if TYPE_CHECKING:
    from orchestrator.document.loader import Loaded, load

__all__ = ["Diagnostic", "DocumentError", "InvalidDocument", "Loaded", "MalformedDocument", "load"]


def __getattr__(name: str) -> Any:
    """Import `loader` when it is first used. Workers run documents without loading them, and so do
    not import the parsers, schemas and checks."""
    if name in ("Loaded", "load"):
        from orchestrator.document import loader

        return getattr(loader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
