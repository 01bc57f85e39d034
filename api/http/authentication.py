"""Who asks, and what they may do: bearer API keys with a role, bound to namespaces.

A key is ``prefix.secret``; the database keeps the prefix and a SHA-256 of the secret. The
secret has 256 random bits, so that a fast hash is enough.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from api.http import problem_types
from api.http.problems import Problem
from orchestrator import clock
from orchestrator.database.access import api_key_queries
from orchestrator.database.connection.database import Database
from orchestrator.database.keyset_pages import Scope

#: For how long a process may go on with what it knows of a key: a key that is revoked is
#: refused everywhere after this time, and at once in the process that revoked it.
CACHE_TIME = 1.0
#: Keys remembered by one process.
_MOST = 1000

_BEARER = re.compile(r"[Bb]earer +([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{1,128}) *")


class Role(IntEnum):
    """What a key may do; each role may do all that those before it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `name` stands in the audit log; `owner` is whose idempotency keys and rate are
    meant (`KeyRow.owner`)."""

    name: str
    owner: str
    role: Role
    scope: Scope


#: Everybody, where authentication is off.
ANYBODY = Caller("anonymous", "anonymous", Role.ADMIN, Scope())


@dataclass(frozen=True, slots=True)
class _CachedKey:
    caller: Caller
    hash: bytes
    expires_at: datetime | None
    read_at: float


def digest(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


class Authenticator:
    """Tells callers by their `Authorization` header; `required` False lets anybody in."""

    def __init__(self, database: Database, required: bool) -> None:
        self.required = required
        self._database = database
        self._known: dict[str, _CachedKey] = {}
        self._lock = threading.Lock()

    def caller(self, authorization: str | None) -> Caller:
        """The caller. Raises `Problem` 401 where there is no valid key."""
        if not self.required:
            return ANYBODY
        match = _BEARER.fullmatch(authorization or "")
        if match is None:
            raise Problem(problem_types.UNAUTHENTICATED)
        prefix, secret = match.groups()
        known = self._find(prefix)
        # The same message and the same work, whatever is wrong with the key.
        if not hmac.compare_digest(known.hash if known else bytes(32), digest(secret)):
            raise Problem(problem_types.UNAUTHENTICATED)
        assert known is not None  # noqa: S101  nothing has a hash of zeros
        if known.expires_at and known.expires_at <= clock.now():
            raise Problem(problem_types.UNAUTHENTICATED)
        return known.caller

    def evict(self, prefix: str) -> None:
        """Look a key up anew at its next use: it was revoked."""
        with self._lock:
            self._known.pop(prefix, None)

    def _find(self, prefix: str) -> _CachedKey | None:
        known = self._known.get(prefix)
        now = clock.monotonic()
        if known and now - known.read_at < CACHE_TIME:
            return known
        row = api_key_queries.valid(self._database, prefix)
        if row is None:
            self.evict(prefix)
            return None
        caller = Caller(row.name, row.owner, Role[row.role.upper()], Scope(row.scope))
        known = _CachedKey(caller, row.hash, row.expires_at, now)
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[prefix] = known
        return known
