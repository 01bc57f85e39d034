"""The sources of secrets: mounted files, the environment, then the encrypted ones in the database.
The first source that has the secret wins.

A secret is read when it is used, by namespace and name, and never cached (invariant I16). A text
that is a JSON object or array is parsed, so that `$secrets.db.password` works.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestrator import json_codec

#: ``ORCHESTRATOR_SECRET_PETSTORE_TOKEN`` is the secret ``petstore-token``.
PREFIX = "ORCHESTRATOR_SECRET_"

#: Returns the value of a stored secret by namespace and name, or None. The first argument is the
#: caller's database session.
StoredSecret = Callable[[Any, str, str], Any]

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


def is_name(name: str) -> bool:
    """Whether a secret can have this name."""
    return bool(_PLAIN.fullmatch(name))


class SecretSource:
    """Reads ``folder/namespace/name``, ``folder/name``, the environment, and last the `stored`
    secrets, so that the API cannot replace what the platform sets."""

    def __init__(
        self,
        folder: str | None,
        environment: Mapping[str, str] = os.environ,
        stored: StoredSecret | None = None,
    ) -> None:
        self._folder = Path(folder) if folder else None
        self._environment = environment
        self._stored = stored

    def get(self, namespace: str, name: str, reader: Any = None) -> Any:
        """Return the secret's value, or None if no source has it.

        `reader` is the database session or transaction for stored secrets. Raises
        `DatabaseUnavailable`.
        """
        if not is_name(name) or not is_name(namespace):
            return None
        secret = self._file(namespace, name) or self._variable(name)
        if secret is None and self._stored is not None and reader is not None:
            secret = self._stored(reader, namespace, name)
        return _parsed(secret) if isinstance(secret, str) else secret

    def several(self, namespace: str, names: tuple[str, ...], reader: Any = None) -> dict[str, Any]:
        """Return the values of the secrets that exist, by name."""
        values = {name: self.get(namespace, name, reader) for name in names}
        return {name: value for name, value in values.items() if value is not None}

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
        return json_codec.loads(text)
    except json_codec.NotJson:
        return text
