"""The first API keys of an installation, from files that its deployment creates.

The file contains the key itself, the database only its SHA-256, as for every key.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.database.access import api_key_queries
from orchestrator.database.connection.database import Database
from orchestrator.ids import new_id

ROLES = ("viewer", "operator", "admin")

_KEY = re.compile(r"([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{32,128})")


@dataclass(frozen=True, slots=True)
class FirstKey:
    """A key for all namespaces, with the name of its file."""

    role: str
    name: str
    prefix: str
    secret: str = field(repr=False)


def read(option: str) -> FirstKey:
    """Read the key of an option ``ROLE=FILE``.

    Raises `Failure` if the role or the file does not exist, or the file contains no key.
    """
    role, _, path = option.partition("=")
    if role not in ROLES or not path:
        raise Failure(f"{option!r} is not ROLE=FILE with a role of {', '.join(ROLES)}", Exit.USAGE)
    try:
        match = _KEY.fullmatch(Path(path).read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} can't be read: {error}", Exit.USAGE) from error
    if match is None:
        hint = "A key is prefix.secret, of letters, digits, - and _; the secret has at least 32."
        raise Failure(f"{path} contains no API key", Exit.USAGE, hint)
    return FirstKey(role, Path(path).stem, *match.groups())


def make(url: str, key: FirstKey) -> bool:
    """Add the key, unless a key with its prefix exists or was revoked. Return whether it was
    added."""
    database = Database(url, size=1)
    try:
        if api_key_queries.exists(database, key.prefix):
            return False
        digest = hashlib.sha256(key.secret.encode()).digest()
        row = api_key_queries.KeyRow(
            new_id(), key.prefix, digest, key.name, key.role, (api_key_queries.ALL,), None
        )
        api_key_queries.put(database, row)
    finally:
        database.close()
    return True
