"""Documents: parsed with the place of everything in them, validated, checked, modelled.

    load(text, "application/yaml").document      # plain JSON, or a DocumentError
    Workflow(document)                           # orchestrator.document.model: to run it

Running a document needs `model` alone.
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
    """Workers run documents and never load one: parsers, schemas and checks are imported by
    who does."""
    if name in ("Loaded", "load"):
        from orchestrator.document import loader

        return getattr(loader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
