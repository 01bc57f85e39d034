"""Where secrets come from: files that the platform mounts, the environment, or the sealed
ones that the API has taken; the first that has the secret counts.

A secret is found at its moment of use, by namespace and name, and nowhere kept (invariant
I16). A text that is a JSON object or array is given as that, so that `$secrets.db.password`
can be written.
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

#: Gives the sealed secret of a namespace and name, or None; asks the database of the caller's.
StoredSecret = Callable[[Any, str, str], Any]

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


def is_name(name: str) -> bool:
    """Whether a secret can have this name."""
    return bool(_PLAIN.fullmatch(name))


class SecretSource:
    """Looks in ``folder/namespace/name``, ``folder/name``, in the environment, and last among
    the `stored` ones: what the platform sets can't be replaced through the API."""

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
        """The secret's value, or None where there is none of that name.

        `reader` is the database, or the transaction, that sealed ones are read through.
        Raises `DatabaseUnavailable`.
        """
        if not is_name(name) or not is_name(namespace):
            return None
        found = self._file(namespace, name) or self._variable(name)
        if found is None and self._stored is not None and reader is not None:
            found = self._stored(reader, namespace, name)
        return _parsed(found) if isinstance(found, str) else found

    def several(self, namespace: str, names: tuple[str, ...], reader: Any = None) -> dict[str, Any]:
        """The values of those that exist, by name."""
        found = {name: self.get(namespace, name, reader) for name in names}
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
        return json_codec.loads(text)
    except json_codec.NotJson:
        return text
