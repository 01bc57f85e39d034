"""Logs people in at an identity provider: OpenID Connect Core 1.0, authorization code with PKCE.

The provider's address is a setting. Its metadata name the other addresses; all of them must be
https, or on this machine. Nothing follows redirects. What the provider answers is bounded.
"""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from api.shared.oidc_settings import OidcSettings, is_trustworthy
from orchestrator import clock
from orchestrator.database.access.session_queries import PersonRow
from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    import httpx2
    from joserfc.jwk import KeySet

# Import authlib, joserfc and httpx2 in functions, at the first login: most installations have no
# OpenID Connect provider.

#: Signatures of ID tokens that are accepted: never `none`, and none with the client's secret.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
#: How far the provider's clock may differ from ours, in seconds.
LEEWAY = 60
#: How long one answer of the provider may take, in seconds.
TIMEOUT = 10.0
#: Largest answer of the provider, in bytes.
MOST_BYTES = 1 << 20
#: Seconds for which metadata and keys are used. Unknown keys are looked up again before that, at
#: most once in `KEYS_PAUSE` seconds, so that forged tokens cause no load at the provider.
CACHE_TIME = 3600.0
KEYS_PAUSE = 60.0
#: Logins of one process that wait for the provider at a time: others keep the other threads.
MOST_AT_A_TIME = 4
#: Seconds that another one waits for a place.
PLACE_TIMEOUT = 0.5
_METADATA = "/.well-known/openid-configuration"


class ProviderUnavailable(OrchestratorError):
    """The identity provider does not answer, or not as it should."""


class LoginRefused(OrchestratorError):
    """The provider or its answer does not show who the person is."""


@dataclass(frozen=True, slots=True)
class Login:
    """A login that was begun. The browser keeps it in a cookie until the provider sends it back."""

    issuer: str
    next: str
    state: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def written(self) -> str:
        """Return the cookie's value."""
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()

    @classmethod
    def read(cls, text: str) -> Login | None:
        """Return the login of a cookie's value; None if it is none."""
        try:
            values = json.loads(base64.urlsafe_b64decode(text))
            login = cls(**values)
        except (ValueError, TypeError):
            return None
        return login if all(isinstance(each, str) for each in values.values()) else None


class OidcProvider:
    """The provider of some settings. `redirect_uri`: where it sends browsers back to."""

    def __init__(self, settings: OidcSettings, redirect_uri: str) -> None:
        self.settings = settings
        self._redirect_uri = redirect_uri
        self._metadata: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_AT_A_TIME)

    def begin(self, next: str) -> tuple[Login, str]:
        """Return a new login, and the provider's address for the browser. Raises
        `ProviderUnavailable`."""
        from authlib.oauth2.rfc7636 import (  # type: ignore[import-untyped]  # it has no types
            create_s256_code_challenge,
        )

        login = Login(self.settings.issuer, next)
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": login.state,
            "nonce": login.nonce,
            "code_challenge": create_s256_code_challenge(login.verifier),
            "code_challenge_method": "S256",
        }
        with self._place():
            endpoint = self._endpoint("authorization_endpoint")
        return login, f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def finish(self, login: Login, answer: Mapping[str, str]) -> PersonRow:
        """Return who logged in, from the query with which the provider sent the browser back.

        Raises `LoginRefused`, `ProviderUnavailable`.
        """
        with self._place():
            self._check_answer(login, answer)
            tokens = self._tokens(answer["code"], login)
            claims = self._claims(tokens, login)
            return self._person(claims, tokens)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of the places of requests that may wait for the provider. Raises
        `ProviderUnavailable` if all are taken: others need the threads."""
        if not self._places.acquire(timeout=PLACE_TIMEOUT):
            raise ProviderUnavailable("too many people log in at this moment")
        try:
            yield
        finally:
            self._places.release()

    def _check_answer(self, login: Login, answer: Mapping[str, str]) -> None:
        """Check that the answer is one to this login, from this issuer (RFC 9207)."""
        if login.issuer != self.settings.issuer or not secrets.compare_digest(
            answer.get("state", "").encode(), login.state.encode()
        ):
            raise LoginRefused("the answer belongs to another login")
        issuer = answer.get("iss")
        promised = self._read_metadata().get("authorization_response_iss_parameter_supported")
        if (issuer is not None or promised is True) and issuer != login.issuer:
            raise LoginRefused("another provider answers")
        if "error" in answer:
            raise LoginRefused(f"the provider says {answer['error'][:100]!r}")
        if not answer.get("code"):
            raise LoginRefused("the answer has no code")

    def _tokens(self, code: str, login: Login) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": login.verifier,
        }
        headers = {}
        client, secret = self.settings.client_id, self.settings.client_secret
        methods = self._read_metadata().get("token_endpoint_auth_methods_supported")
        if secret is None:
            form["client_id"] = client
        elif isinstance(methods, list) and "client_secret_basic" not in methods:
            form |= {"client_id": client, "client_secret": secret}
        else:  # RFC 6749, 2.3.1: both are form-encoded first
            pair = f"{quote(client, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return self._fetch("POST", self._endpoint("token_endpoint"), headers, form)

    def _claims(self, tokens: dict[str, Any], login: Login) -> dict[str, Any]:
        """Return the claims of the ID token, once its signature and its claims are checked
        (OpenID Connect Core, 3.1.3.7)."""
        from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]  # as above
        from joserfc.errors import JoseError

        token = tokens.get("id_token")
        if not isinstance(token, str):
            raise LoginRefused("the provider gives no ID token")
        try:
            decoded = self._decoded(token)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                options={
                    "iss": {"essential": True, "value": self.settings.issuer},
                    "aud": {"essential": True, "value": self.settings.client_id},
                },
                params={
                    "client_id": self.settings.client_id,
                    "nonce": login.nonce,
                    "access_token": tokens.get("access_token"),
                },
            )
            claims.validate(now=int(clock.now().timestamp()), leeway=LEEWAY)
        except (JoseError, ValueError, TypeError) as error:
            raise LoginRefused(f"the ID token is not valid: {error}") from error
        audience = claims["aud"]
        if isinstance(audience, list) and len(audience) > 1 and "azp" not in claims:
            raise LoginRefused("the ID token is for several clients and does not name ours")
        return dict(claims)

    def _decoded(self, token: str) -> Any:
        from joserfc import jws, jwt
        from joserfc.errors import InvalidKeyIdError

        # Name the accepted signature algorithms for joserfc, which does not accept all of them by
        # default.
        registry = jws.JWSRegistry(algorithms=list(ALGORITHMS))
        try:
            return jwt.decode(token, self._read_keys(), list(ALGORITHMS), registry)
        except InvalidKeyIdError:
            return jwt.decode(token, self._read_keys(KEYS_PAUSE), list(ALGORITHMS), registry)

    def _person(self, claims: dict[str, Any], tokens: dict[str, Any]) -> PersonRow:
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
            raise LoginRefused("the ID token names nobody")
        if self._claim(claims, self.settings.groups_claim) is None:
            claims = {**self._user_info(subject, tokens), **claims}
        found = self._claim(claims, self.settings.groups_claim)
        groups = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        return PersonRow(
            self.settings.issuer,
            subject,
            self._name(claims) or subject,
            tuple(self.settings.relevant(each for each in groups if isinstance(each, str))),
        )

    def _user_info(self, subject: str, tokens: dict[str, Any]) -> dict[str, Any]:
        """Return the claims that the provider gives besides the ID token, if it gives any."""
        access = tokens.get("access_token")
        if not isinstance(access, str) or "userinfo_endpoint" not in self._read_metadata():
            return {}
        headers = {"Authorization": f"Bearer {access}"}
        found = self._fetch("GET", self._endpoint("userinfo_endpoint"), headers)
        if found.get("sub") != subject:  # OpenID Connect Core, 5.3.2
            raise LoginRefused("the provider's claims are about somebody else")
        return found

    def _claim(self, claims: Mapping[str, Any], name: str) -> Any:
        """Return a claim, or a member of one by a path with dots. An address counts only if the
        provider has verified it."""
        if name == "email" and claims.get("email_verified") not in (True, "true"):
            return None
        if name in claims:
            return claims[name]
        found: Any = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found

    def _name(self, claims: Mapping[str, Any]) -> str | None:
        """Return what people call the person, as one short line."""
        given = self.settings.name_claim
        for claim in (given,) if given else ("email", "preferred_username", "name"):
            found = self._claim(claims, claim)
            if isinstance(found, str) and found.isprintable() and found.strip():
                return found.strip()[:100]
        return None

    def _read_metadata(self) -> dict[str, Any]:
        with self._lock:
            if self._metadata is None or clock.monotonic() > self._metadata[0] + CACHE_TIME:
                issuer = self.settings.issuer
                found = self._fetch("GET", issuer.rstrip("/") + _METADATA)
                if found.get("issuer") != issuer:
                    raise ProviderUnavailable(
                        f"the issuer calls itself {str(found.get('issuer'))[:200]!r},"
                        f" not {issuer!r}"
                    )
                self._metadata = (clock.monotonic(), found)
            return self._metadata[1]

    def _read_keys(self, most_age: float = CACHE_TIME) -> KeySet:
        """Return the provider's keys, which were read at most `most_age` seconds ago."""
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        url = self._endpoint("jwks_uri")
        with self._lock:
            if self._keys is None or clock.monotonic() > self._keys[0] + most_age:
                found = self._fetch("GET", url)
                try:
                    # Leave out symmetric keys (`oct`): no signature of `ALGORITHMS` uses one, and
                    # one that cannot be read must not make reading the other keys fail.
                    known = [each for each in found["keys"] if each.get("kty") != "oct"]
                    self._keys = (clock.monotonic(), KeySet.import_key_set({"keys": known}))
                except (JoseError, KeyError, TypeError, ValueError, AttributeError) as error:
                    raise ProviderUnavailable(f"its keys cannot be read: {error}") from error
            return self._keys[1]

    def _endpoint(self, name: str) -> str:
        url = self._read_metadata().get(name)
        if not isinstance(url, str) or not is_trustworthy(url):
            raise ProviderUnavailable(f"its metadata name no safe {name}")
        return url

    def _fetch(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the JSON object that an address answers. Neither texts of errors nor the log have
        what was sent."""
        import httpx2

        place = url.partition("?")[0]
        sent = {"Accept": "application/json", **(headers or {})}
        try:
            with (
                self._client() as client,
                client.stream(method, url, headers=sent, data=form) as answer,
            ):
                found = _object(answer)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise ProviderUnavailable(f"{type(error).__name__} of {place}") from error
        if answer.status_code != 200:
            code = str((found or {}).get("error", ""))[:100]
            is_refusal = form is not None and answer.status_code in (400, 401)
            kind = LoginRefused if is_refusal else ProviderUnavailable
            raise kind(f"{place} answers {answer.status_code} {code}".rstrip())
        if found is None:
            raise ProviderUnavailable(f"{place} answers no JSON object")
        return found

    def _client(self) -> httpx2.Client:
        import httpx2

        verify: bool | ssl.SSLContext = True
        if self.settings.ca:
            verify = ssl.create_default_context(cafile=self.settings.ca)
        return httpx2.Client(timeout=TIMEOUT, follow_redirects=False, verify=verify)


def _object(answer: httpx2.Response) -> dict[str, Any] | None:
    """Return the JSON object of an answer; None if it is none, or too large."""
    body = bytearray()
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    try:
        found = json.loads(bytes(body))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
