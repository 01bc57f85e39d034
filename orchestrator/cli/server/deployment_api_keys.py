"""The first API keys of an installation, from files that its deployment has made.

Whoever reads the file has the key; the database keeps its SHA-256, like that of every key.
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
    """A key for all namespaces, named like the file that it stands in."""

    role: str
    name: str
    prefix: str
    secret: str = field(repr=False)


def read(wanted: str) -> FirstKey:
    """The key that ``ROLE=FILE`` asks for.

    Raises `Failure` where that can't be: no such role, no such file, no key in it.
    """
    role, _, path = wanted.partition("=")
    if role not in ROLES or not path:
        raise Failure(f"{wanted!r} is not ROLE=FILE, with a role of {', '.join(ROLES)}", Exit.USAGE)
    try:
        match = _KEY.fullmatch(Path(path).read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} can't be read: {error}", Exit.USAGE) from error
    if match is None:
        hint = "A key is prefix.secret, of letters, digits, - and _; the secret has 32 at least."
        raise Failure(f"{path} holds no API key", Exit.USAGE, hint)
    return FirstKey(role, Path(path).stem, *match.groups())


def make(url: str, key: FirstKey) -> bool:
    """Add the key unless there is, or was, one of its prefix: a revoked key stays revoked."""
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
