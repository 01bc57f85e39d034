"""Sessions of browsers: a cookie with an opaque id instead of a key, and the checks it needs.

A browser adds cookies to requests that other pages cause. So a request with a session must come
from a page of this origin (`Sec-Fetch-Site`, `Origin`), and one that changes something must have a
header that only such a page can set.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from flask import Request, Response

from api.http import problem_types
from api.http.authentication import CACHE_TIME, Caller, Role, digest
from api.http.problems import Problem
from api.shared.oidc_settings import OidcSettings
from orchestrator import clock
from orchestrator.database.access import audit_queries, session_queries
from orchestrator.database.access.api_key_queries import KeyRow
from orchestrator.database.access.audit_queries import AuditEntry
from orchestrator.database.access.session_queries import NewSession, PersonRow, SessionRow
from orchestrator.database.connection.database import Database
from orchestrator.database.keyset_pages import Scope
from orchestrator.ids import new_id

#: Seconds after which a session ends, however it is used.
LIFETIME = 12 * 3600.0
#: The header of the console's requests that change something.
HEADER = "X-Orchestrator-Console"
#: The cookie's name. With ``__Host-`` no other host of the domain can set it (RFC 6265bis,
#: 4.1.3.2); browsers take that prefix over https only.
COOKIE = "orchestrator"

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
#: Sessions cached by one process; at the bound the cache is cleared.
_MAX_CACHED = 1000


@dataclass(frozen=True, slots=True)
class _Cached:
    caller: Caller
    expires_at: datetime
    read_at: float


class Sessions:
    """The sessions as one process sees them. `public_url`: the setting, where browsers find us.
    `oidc`: the identity provider of people, and the access of their groups."""

    def __init__(
        self, database: Database, public_url: str | None, oidc: OidcSettings | None = None
    ) -> None:
        self._database = database
        self._oidc = oidc
        self._public = urlsplit(public_url) if public_url else None
        self._cached: dict[bytes, _Cached] = {}
        self._lock = threading.Lock()

    @property
    def prefix(self) -> str:
        """The path below which the installation is, without a slash at its end."""
        return self._public.path.rstrip("/") if self._public else ""

    def is_secure(self, request: Request) -> bool:
        """Whether cookies are for https only. Plain http is for browsers of this machine."""
        if self._public is not None:
            return self._public.scheme == "https"
        return urlsplit(f"//{request.host}").hostname not in _LOCAL

    def cookie_name(self, request: Request, name: str = COOKIE) -> str:
        """Return the name of a cookie."""
        return f"__Host-{name}" if self.is_secure(request) else name

    def origin(self, request: Request) -> str:
        """Return the origin of our own pages."""
        if self._public is not None:
            return f"{self._public.scheme}://{self._public.netloc}"
        return f"{'https' if self.is_secure(request) else 'http'}://{request.host}"

    def check_origin(self, request: Request) -> None:
        """Refuse a request that a page of another origin has caused. Raises `Problem` 403.

        Plain http sends no `Sec-Fetch-Site`, and some requests no `Origin`: what is sent must fit.
        """
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site not in {"same-origin", "none"}:
            raise Problem(problem_types.FORBIDDEN, "a page of another site has sent this request")
        origin = request.headers.get("Origin")
        own = (
            {self.origin(request), f"http://{request.host}"}
            if not self._public
            else {self.origin(request)}
        )
        if origin is not None and origin not in own:
            raise Problem(problem_types.FORBIDDEN, "a page of another origin has sent this request")

    def caller(self, request: Request) -> Caller | None:
        """Return the person of a request's session; None without one. Raises `Problem` 401, 403."""
        id = request.cookies.get(self.cookie_name(request))
        if not id:
            return None
        self.check_origin(request)
        if request.method not in _SAFE and HEADER not in request.headers:
            raise Problem(problem_types.FORBIDDEN, f"requests by session need the header {HEADER}")
        found = self._find(digest(id))
        if found is None or found.expires_at <= clock.now():
            raise Problem(problem_types.UNAUTHENTICATED, "the session has ended")
        return found.caller

    def begin(self, request: Request, response: Response, who: KeyRow | PersonRow) -> None:
        """Begin a session with a key or for a person, and give its secret, always a new one, to
        the browser. The person's login is in the audit log: no key names them there."""
        secret = secrets.token_urlsafe(32)
        new = NewSession(new_id(), digest(secret), who, request.remote_addr)
        self.end(request)
        with self._database.transaction() as transaction:
            session_queries.put(transaction, new, LIFETIME)
            if isinstance(who, PersonRow):
                audit_queries.write(transaction, _login_entry(new.id, who, request))
        self.set_cookie(request, response, COOKIE, secret, LIFETIME, "Lax")

    def end(self, request: Request) -> None:
        """End the session of a request, if it has one."""
        id = request.cookies.get(self.cookie_name(request))
        if id:
            session_queries.end(self._database, digest(id))
            with self._lock:
                self._cached.pop(digest(id), None)

    def set_cookie(
        self,
        request: Request,
        response: Response,
        name: str,
        value: str,
        seconds: float,
        same_site: str,
    ) -> None:
        """Set a cookie; 0 seconds remove it."""
        response.set_cookie(
            self.cookie_name(request, name),
            value,
            max_age=int(seconds),
            path="/",
            secure=self.is_secure(request),
            httponly=True,
            samesite=same_site,
        )

    def _find(self, id_hash: bytes) -> _Cached | None:
        cached = self._cached.get(id_hash)
        now = clock.monotonic()
        if cached and now - cached.read_at < CACHE_TIME:
            return cached
        row = session_queries.valid(self._database, id_hash)
        with self._lock:
            self._cached.pop(id_hash, None)
            if row is None:
                return None
            if len(self._cached) >= _MAX_CACHED:
                self._cached.clear()
            caller = self._caller(row)
            if caller is None:
                return None
            self._cached[id_hash] = _Cached(caller, row.expires_at, now)
            return self._cached[id_hash]

    def _caller(self, row: SessionRow) -> Caller | None:
        """Return what the session's owner may do now; None for a person whose provider or groups
        the settings name no more."""
        who = row.who
        if isinstance(who, KeyRow):
            role, namespaces, name, owner = who.role, who.scope, who.name, who.owner
        else:
            if self._oidc is None or self._oidc.issuer != who.issuer:
                return None
            grant = self._oidc.grant(who.groups)
            if grant is None:
                return None
            role, namespaces, name = grant.role, grant.namespaces, actor_of(who)
            owner = hashlib.sha256(f"{who.issuer}\0{who.subject}".encode()).hexdigest()
        return Caller(
            name,
            owner,
            Role[role.upper()],
            Scope(namespaces),
            via="session",
            expires_at=row.expires_at,
        )


def actor_of(person: PersonRow) -> str:
    """Return the person's name in the audit log. Their subject is in it: people can change the
    names that a provider gives."""
    return person.name if person.name == person.subject else f"{person.name} ({person.subject})"


def _login_entry(id: str, person: PersonRow, request: Request) -> AuditEntry:
    return AuditEntry(
        actor=actor_of(person),
        action="session.begin",
        target=id,
        address=request.remote_addr,
        details={"issuer": person.issuer, "subject": person.subject, "groups": person.groups},
    )
