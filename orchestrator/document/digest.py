"""The digest of a document, by which two deployments of one version are compared."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(document: Any) -> str:
    """Return the SHA-256 of a JSON value in canonical form, which ignores layout and order of
    keys."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
