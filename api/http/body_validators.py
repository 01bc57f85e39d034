"""Validators of request bodies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jsonschema_rs


class Validators:
    """The schemas of the API's description, each compiled at its first use."""

    def __init__(self, description: Callable[[], dict[str, Any]]) -> None:
        self._description = description
        self._compiled: dict[str, jsonschema_rs.Validator] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> jsonschema_rs.Validator:
        """Return the validator of a schema under ``components/schemas``."""
        compiled = self._compiled.get(name)
        if compiled is None:
            with self._lock:
                compiled = self._compiled[name] = self._compile(name)
        return compiled

    def _compile(self, name: str) -> jsonschema_rs.Validator:
        components = self._description()["components"]
        return jsonschema_rs.Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": components},
            validate_formats=True,
            offline=True,
        )
