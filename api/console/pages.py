"""``/console``: the page of the console, its files, and a page that says when it was not built.

The build (console/vite.config.ts) writes its files to ``pages`` beside this module. Their names
contain a hash of their content, except for ``index.html``, which every address of the console
answers with: the address is the state of the page.
"""

from __future__ import annotations

import functools
import gzip
import mimetypes
import secrets
from pathlib import Path

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.security import safe_join

from api.http import problem_types
from api.http.app_state import state
from api.http.problems import Problem

PREFIX = "/console"
PAGES = Path(__file__).parent / "pages"

#: Hashed files never change. The page itself is read anew each time, since it names them.
_IMMUTABLE = "public, max-age=31536000, immutable"

#: The build leaves these two in index.html.
_BASE, _NONCE = "%CONSOLE_BASE%", "%CONSOLE_NONCE%"

blueprint = Blueprint("console", __name__, template_folder="templates")


def policy(nonce: str | None) -> str:
    """Return the content security policy of a page. `nonce`: that of its style elements."""
    styles = "'self'" if nonce is None else f"'self' 'nonce-{nonce}'"
    return (
        f"default-src 'none'; script-src 'self'; style-src {styles}; connect-src 'self';"
        " img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'; require-trusted-types-for 'script'"
    )


@blueprint.get("/")
def root() -> Response:
    """Lead a browser to the console. Programs get the 404 of an unknown path."""
    if "text/html" not in request.headers.get("Accept", ""):
        raise Problem(problem_types.NOT_FOUND)
    return redirect(f"{base()}/", 302)  # type: ignore[return-value]  # werkzeug's, Flask's is its child


@blueprint.get(f"{PREFIX}/", defaults={"address": ""})
@blueprint.get(f"{PREFIX}/<path:address>")
def page(address: str) -> Response:  # noqa: ARG001  the page itself reads it
    """Return the page, whichever view it is to show."""
    nonce = secrets.token_urlsafe(16)
    text = _index()
    if text is None:
        return _html(render_template("not_built.html"), 503, nonce=None)
    return _html(text.replace(_BASE, base()).replace(_NONCE, nonce), 200, nonce)


@blueprint.get(f"{PREFIX}/assets/<path:name>")
@blueprint.get(f"{PREFIX}/<any('icon.svg'):name>")
def asset(name: str) -> Response:
    """Return a file of the build."""
    hashed = request.path.startswith(f"{PREFIX}/assets/")
    found = safe_join(str(PAGES / "assets" if hashed else PAGES), name)
    if found is None or not Path(found).is_file():
        raise Problem(problem_types.NOT_FOUND)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {
        "Cache-Control": _IMMUTABLE if hashed else "public, max-age=3600",
        "Vary": "Accept-Encoding",
    }
    if not hashed or not request.accept_encodings.quality("gzip"):
        return Response(Path(found).read_bytes(), headers=headers, content_type=kind)
    headers["Content-Encoding"] = "gzip"
    return Response(_compressed(Path(found)), headers=headers, content_type=kind)


@functools.lru_cache(maxsize=200)
def _compressed(file: Path) -> bytes:
    """Return a file compressed. Its name has a hash of its content, so it is done once."""
    return gzip.compress(file.read_bytes(), mtime=0)


def base() -> str:
    """Return the path of the console, without a slash at its end."""
    return state().sessions.prefix + PREFIX


def _index() -> str | None:
    """Return index.html with paths that fit every address, or None if it was not built."""
    file = PAGES / "index.html"
    try:
        return _page_text(file, file.stat().st_mtime_ns)
    except FileNotFoundError:
        return None


@functools.lru_cache(maxsize=1)
def _page_text(file: Path, built_at: int) -> str:  # noqa: ARG001  a later build is another text
    return file.read_text(encoding="utf-8").replace('="./', f'="{_BASE}/')


def _html(text: str, status: int, nonce: str | None) -> Response:
    headers = {"Content-Security-Policy": policy(nonce), "Cache-Control": "no-store"}
    return Response(text, status, headers, content_type="text/html; charset=utf-8")
