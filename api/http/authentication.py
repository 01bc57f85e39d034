"""Authentication: bearer API keys, each with a role and namespaces.

A key is ``prefix.secret``; the database stores the prefix and a SHA-256 of the secret. The
secret has 256 random bits, so a fast hash is enough.
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
from api.http.refused_keys import RefusedKeys
from orchestrator import clock
from orchestrator.database.access import api_key_queries
from orchestrator.database.access.api_key_queries import KeyRow
from orchestrator.database.connection.database import Database
from orchestrator.database.keyset_pages import Scope

#: Seconds for which a process uses a cached key. A revoked key is refused everywhere after this
#: time, and at once by the process that revoked it.
CACHE_TIME = 1.0
#: Keys cached by one process; at the bound the cache is cleared.
_MAX_CACHED = 1000

#: Prefixes that one process remembers; at the bound they are forgotten.
_MAX_ACCEPTED = 10_000

_BEARER = re.compile(r"[Bb]earer +([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{1,128}) *")


class Role(IntEnum):
    """What a key may do. Each role may also do all that the roles before it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request. `name` is written to the audit log. `owner` selects the
    idempotency keys and the request rate (`KeyRow.owner`)."""

    name: str
    owner: str
    role: Role
    scope: Scope
    #: How they were recognised: ``off``, ``key`` or ``session``; and until when they are.
    via: str = "key"
    expires_at: datetime | None = None


#: Every caller, when authentication is off.
ANYBODY = Caller("anonymous", "anonymous", Role.ADMIN, Scope(), via="off")


@dataclass(frozen=True, slots=True)
class _CachedKey:
    caller: Caller
    row: KeyRow
    hash: bytes
    expires_at: datetime | None
    read_at: float


def digest(secret: str) -> bytes:
    """Return the hash under which a secret is stored."""
    return hashlib.sha256(secret.encode()).digest()


class Authenticator:
    """Finds the caller of an `Authorization` header. If not `required`, every caller is admin."""

    def __init__(self, database: Database, required: bool) -> None:
        self.required = required
        self._database = database
        self._cached: dict[str, _CachedKey] = {}
        self._lock = threading.Lock()
        self._refused = RefusedKeys()
        #: Prefixes of keys that were accepted.
        self._accepted: set[str] = set()

    def caller(self, authorization: str | None, address: str | None = None) -> Caller:
        """Return the caller, whose client has the given address. Raises `Problem` 401 without a
        valid key, 429 if the address has shown too many."""
        return self._checked(authorization, address).caller if self.required else ANYBODY

    def key(self, authorization: str, address: str | None = None) -> KeyRow:
        """Return the key of an `Authorization` header. Raises `Problem` 401, 429 as `caller`."""
        return self._checked(authorization, address).row

    def _checked(self, authorization: str | None, address: str | None) -> _CachedKey:
        match = _BEARER.fullmatch(authorization or "")
        if match is None:
            raise Problem(problem_types.UNAUTHENTICATED)
        prefix, secret = match.groups()
        if address is not None and prefix not in self._accepted:
            self._refused.check(address)
        try:
            valid = self._valid(prefix, secret)
        except Problem:
            if address is not None:
                self._refused.count(address)
            raise
        if prefix not in self._accepted:
            if len(self._accepted) >= _MAX_ACCEPTED:
                self._accepted.clear()
            self._accepted.add(prefix)
        return valid

    def _valid(self, prefix: str, secret: str) -> _CachedKey:
        cached = self._find(prefix)
        # Compare the secret's hash with zeros if no key has this prefix, and raise the same error
        # for each defect. So neither the time nor the message tells what is wrong with a key.
        if not hmac.compare_digest(cached.hash if cached else bytes(32), digest(secret)):
            raise Problem(problem_types.UNAUTHENTICATED)
        assert cached is not None  # noqa: S101  nothing has a hash of zeros
        if cached.expires_at and cached.expires_at <= clock.now():
            raise Problem(problem_types.UNAUTHENTICATED)
        return cached

    def evict(self, prefix: str) -> None:
        """Remove a revoked key from the cache."""
        with self._lock:
            self._cached.pop(prefix, None)

    def _find(self, prefix: str) -> _CachedKey | None:
        cached = self._cached.get(prefix)
        now = clock.monotonic()
        if cached and now - cached.read_at < CACHE_TIME:
            return cached
        row = api_key_queries.find_valid(self._database, prefix)
        if row is None:
            self.evict(prefix)
            return None
        caller = Caller(
            row.name,
            row.owner,
            Role[row.role.upper()],
            Scope(row.scope),
            expires_at=row.expires_at,
        )
        cached = _CachedKey(caller, row, row.hash, row.expires_at, now)
        with self._lock:
            if len(self._cached) >= _MAX_CACHED:
                self._cached.clear()
            self._cached[prefix] = cached
        return cached
