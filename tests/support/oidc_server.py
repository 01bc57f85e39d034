"""An identity provider for tests: OpenID Connect over real sockets, with keys of its own.

It checks what a provider checks (client, redirect, PKCE, code used once), and can be told to answer
wrongly: `claims` changes the ID token's, `key` and `header` sign it otherwise.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import unquote, urlencode

from flask import Flask, Response, jsonify, redirect, request
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey
from werkzeug.serving import make_server

CLIENT, SECRET = "orchestrator", "s3cret/+ &"
KEYS: dict[str, Any] = {"RS256": RSAKey, "PS256": RSAKey, "ES256": ECKey}
_SIZES: dict[str, Any] = {"RS256": 2048, "PS256": 2048, "ES256": "P-256"}


def new_key(algorithm: str = "RS256", kid: str = "one") -> Any:
    return KEYS[algorithm].generate_key(_SIZES[algorithm], {"kid": kid, "use": "sig"})


def _base64(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@dataclass
class OidcServer:
    """The provider. `person`: the claims of who is logged in at it."""

    redirect_uri: str
    person: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    key: Any = None
    #: What the JWKS shows, if not `key`.
    shown_keys: list[Any] | None = None
    header: dict[str, Any] = field(default_factory=dict)
    claims: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
    metadata: dict[str, Any] = field(default_factory=dict)
    #: Claims that are in the answer of the userinfo endpoint only.
    user_info: dict[str, Any] = field(default_factory=dict)
    #: More of the answer to the browser, such as an error.
    answer: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    url: str = ""

    def start(self) -> OidcServer:
        self.key = self._first_key = new_key(self.algorithm)
        self._server = make_server("127.0.0.1", 0, self._app(), threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}/realms/shop"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def reset(self, **more: Any) -> None:
        """Be as at the start, with the same address."""
        fresh = OidcServer(self.redirect_uri, **more)
        for each in fields(fresh):
            if each.name not in ("key", "url"):
                setattr(self, each.name, getattr(fresh, each.name))
        self.key = self._first_key

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _app(self) -> Flask:
        app = Flask("oidc")
        base = "/realms/shop"
        app.add_url_rule(f"{base}/.well-known/openid-configuration", view_func=self.configuration)
        app.add_url_rule(f"{base}/authorize", view_func=self.authorize)
        app.add_url_rule(f"{base}/token", view_func=self.token, methods=["POST"])
        app.add_url_rule(f"{base}/keys", view_func=self.keys)
        app.add_url_rule(f"{base}/userinfo", view_func=self.userinfo)

        @app.before_request
        def note() -> Any:
            name = request.path.rpartition("/")[2]
            self.asked.append(name)
            return Response("<html>bad gateway", 502) if name in self.broken else None

        return app

    def configuration(self) -> Any:
        return jsonify(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "id_token_signing_alg_values_supported": [self.algorithm],
                **self.metadata,
            }
        )

    def authorize(self) -> Any:
        """Log `person` in without a question, and send the browser back."""
        asked = dict(request.args)
        assert asked["client_id"] == CLIENT
        assert asked["redirect_uri"] == self.redirect_uri, asked["redirect_uri"]
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        answer = {"code": code, "state": asked["state"], **self.answer}
        return redirect(f"{self.redirect_uri}?{urlencode(answer)}", 302)

    def token(self) -> Any:
        form = dict(request.form)
        if not self._knows_client(form):
            return jsonify({"error": "invalid_client"}), 401
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = _base64(digest)
        if asked is None or asked["code_challenge"] != challenge:
            return jsonify({"error": "invalid_grant", "error_description": "no such code"}), 400
        if form.get("redirect_uri") != asked["redirect_uri"]:
            return jsonify({"error": "invalid_grant"}), 400
        access = secrets.token_urlsafe(16)
        return jsonify(
            {
                "access_token": access,
                "token_type": "Bearer",
                "expires_in": 300,
                "id_token": self._id_token(asked["nonce"], access),
            }
        )

    def _knows_client(self, form: dict[str, str]) -> bool:
        given = request.authorization
        if given is not None:
            pair = unquote(given.username or ""), unquote(given.password or "")
            return pair == (CLIENT, SECRET)
        return (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)

    def _id_token(self, nonce: str, access: str) -> str:
        half = hashlib.sha256(access.encode()).digest()[:16]
        now = int(time.time())
        claims = self.claims(
            {
                "iss": self.url,
                "aud": CLIENT,
                "iat": now,
                "exp": now + 300,
                "nonce": nonce,
                "at_hash": _base64(half),
                **self.person,
            }
        )
        header = {"alg": self.algorithm, "kid": self.key.kid, **self.header}
        if header["alg"] in ("none", "HS256"):
            return self._forged(header, claims)
        registry = jws.JWSRegistry(algorithms=[header["alg"]])
        return jwt.encode(header, claims, self.key, [header["alg"]], registry)

    def _forged(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """A token without a signature, or signed with what everybody knows: the public key."""
        text = ".".join(_base64(json.dumps(each).encode()) for each in (header, claims))
        public = self.key.as_pem(private=False)
        signature = hmac.new(public, text.encode(), "sha256").digest()
        return f"{text}.{'' if header['alg'] == 'none' else _base64(signature)}"

    def keys(self) -> Any:
        shown = [self.key] if self.shown_keys is None else self.shown_keys
        return jsonify({"keys": [each.as_dict(private=False) for each in shown]})

    def userinfo(self) -> Any:
        assert (request.headers.get("Authorization") or "").startswith("Bearer ")
        return jsonify({"sub": self.person["sub"], **self.user_info})
