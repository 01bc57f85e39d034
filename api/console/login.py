"""``/console/login`` and ``/console/logout``: a session for an API key.

The page is rendered here and needs no database, so that it says what is wrong while Postgres is
down.
"""

from __future__ import annotations

import hmac
import json
import secrets
from functools import cache

from flask import Blueprint, Response, redirect, render_template, request

from api.console.pages import PAGES, PREFIX, base, policy
from api.http import problem_types
from api.http.app_state import state
from api.http.problems import Problem
from api.http.sessions import COOKIE
from orchestrator.errors import DatabaseUnavailable

#: The cookie that must agree with the form: no other page can have both.
FORM_COOKIE = "orchestrator-login"
_FORM_TIME = 3600.0

blueprint = Blueprint("console_login", __name__, template_folder="templates")


@blueprint.get(f"{PREFIX}/login")
def form() -> Response:
    """Show the form; without authentication there is nothing to log in to."""
    if not state().authenticator.required:
        return see(next_path())
    return login_page()


@blueprint.post(f"{PREFIX}/login")
def login() -> Response:
    """Exchange an API key for a session."""
    sessions = state().sessions
    sessions.check_origin(request)
    given = request.form.get("token", "")
    expected = request.cookies.get(sessions.cookie_name(request, FORM_COOKIE), "")
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        return login_page("This form is too old. Try again.", 403)
    key = request.form.get("key", "").strip()
    try:
        row = state().authenticator.key(f"Bearer {key}", request.remote_addr)
        answer = see(next_path())
        sessions.begin(request, answer, row)
    except Problem as problem:
        if problem.kind is not problem_types.UNAUTHENTICATED:
            raise
        return login_page("This is no valid API key.", 401)
    except DatabaseUnavailable:
        return login_page("The database does not answer. Nothing is lost; try again soon.", 503)
    sessions.set_cookie(request, answer, FORM_COOKIE, "", 0, "Strict")
    return answer


@blueprint.post(f"{PREFIX}/logout")
def logout() -> Response:
    """End the session."""
    sessions = state().sessions
    sessions.caller(request)
    answer = Response(status=204)
    sessions.end(request)
    sessions.set_cookie(request, answer, COOKIE, "", 0, "Lax")
    return answer


def login_page(error: str | None = None, status: int = 200) -> Response:
    """Return the page with the form, with an error."""
    token, provider = secrets.token_urlsafe(24), state().oidc
    text = render_template(
        "login.html",
        base=base(),
        token=token,
        error=error,
        next=next_path(),
        styles=_styles(),
        provider=provider.settings.label if provider else None,
    )
    headers = {"Content-Security-Policy": policy(None), "Cache-Control": "no-store"}
    answer = Response(text, status, headers, content_type="text/html; charset=utf-8")
    state().sessions.set_cookie(request, answer, FORM_COOKIE, token, _FORM_TIME, "Strict")
    return answer


def see(path: str) -> Response:
    """Return a redirect to a page."""
    return redirect(path, 303)  # type: ignore[return-value]  # werkzeug's, Flask's is its child


def next_path(asked: str | None = None) -> str:
    """Return where to go after the login: a path below the console, whatever was asked for.

    `asked`: None for the request's.
    """
    path = request.values.get("next", "") if asked is None else asked
    is_ours = path.startswith(f"{base()}/") and ".." not in path
    is_plain = not any(character in path for character in "\\\r\n\t") and "//" not in path
    return path if is_ours and is_plain else f"{base()}/"


@cache
def _styles() -> list[str]:
    """Return the paths of the console's style sheets, if it was built."""
    file = PAGES / ".vite" / "manifest.json"
    if not file.is_file():
        return []
    entries = json.loads(file.read_text(encoding="utf-8"))
    return [f"{base()}/{name}" for name in entries.get("index.html", {}).get("css", [])]
