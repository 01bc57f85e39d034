"""Documents as YAML."""

from __future__ import annotations

import io
from typing import Any

Json = Any


def yaml_text(document: Json) -> str:
    """Return a document as YAML 1.2, with its keys in their order."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 1_000_000  # an expression stands on one line
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()
