"""Documents: parsed with the place of everything in them, validated, checked, modelled."""

from orchestrator.document.loading import Loaded, load
from orchestrator.document.problems import (
    DocumentError,
    InvalidDocument,
    MalformedDocument,
    Problem,
)

__all__ = ["DocumentError", "InvalidDocument", "Loaded", "MalformedDocument", "Problem", "load"]
