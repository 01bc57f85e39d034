"""Where secrets come from: files that the platform mounts, or the environment.

A secret is found at its moment of use, by namespace and name, and nowhere kept (invariant
I16). A text that is a JSON object or array is given as that, so that `$secrets.db.password`
can be written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator import codec

#: ``ORCHESTRATOR_SECRET_PETSTORE_TOKEN`` is the secret ``petstore-token``.
PREFIX = "ORCHESTRATOR_SECRET_"

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


class SecretSource:
    """Looks in ``folder/namespace/name``, ``folder/name``, then in the environment."""

    def __init__(self, folder: str | None, environment: Mapping[str, str] = os.environ) -> None:
        self._folder = Path(folder) if folder else None
        self._environment = environment

    def get(self, namespace: str, name: str) -> Any:
        """The secret's value, or None where there is none of that name."""
        if not _PLAIN.fullmatch(name) or not _PLAIN.fullmatch(namespace):
            return None
        found = self._file(namespace, name) or self._variable(name)
        return None if found is None else _parsed(found)

    def several(self, namespace: str, names: tuple[str, ...]) -> dict[str, Any]:
        """The values of those that exist, by name."""
        found = {name: self.get(namespace, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def _file(self, namespace: str, name: str) -> str | None:
        if self._folder is None:
            return None
        for path in (self._folder / namespace / name, self._folder / name):
            if path.is_file():
                return path.read_text(encoding="utf-8").rstrip("\n")
        return None

    def _variable(self, name: str) -> str | None:
        return self._environment.get(PREFIX + re.sub(r"[^A-Za-z0-9]", "_", name).upper())


def _parsed(text: str) -> Any:
    if text[:1] not in "{[":
        return text
    try:
        return codec.loads(text)
    except codec.NotJson:
        return text
