"""Documents: parsed with the place of everything in them, validated, checked, modelled.

    load(text, "application/yaml").document      # plain JSON, or a DocumentError
    Workflow(document)                           # orchestrator.document.model: to run it

Running a document needs `model` alone.
"""

from typing import TYPE_CHECKING, Any

from orchestrator.document.problems import (
    DocumentError,
    InvalidDocument,
    MalformedDocument,
    Problem,
)

if TYPE_CHECKING:
    from orchestrator.document.loading import Loaded, load

__all__ = ["DocumentError", "InvalidDocument", "Loaded", "MalformedDocument", "Problem", "load"]


def __getattr__(name: str) -> Any:
    """Workers run documents and never load one: parsers, schemas and checks are imported by
    who does."""
    if name in ("Loaded", "load"):
        from orchestrator.document import loading

        return getattr(loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
