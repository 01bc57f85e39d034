"""``/docs``: Swagger UI for the API's description, with the assets of a Python package."""

from __future__ import annotations

from importlib.resources import files

from flask import Blueprint, Response

from api.http import problem_types
from api.http.problems import Problem

blueprint = Blueprint("docs", __name__, url_prefix="/docs")

_PACKAGE = "flask_swagger_ui"
_ASSETS = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}

#: The page runs only scripts of this server and connects to no other. Swagger UI needs inline
#: styles.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>celery-orchestrator API</title>
<link rel="icon" href="/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/page.js"></script>
</body>
</html>
"""
_SCRIPT = """\
SwaggerUIBundle({url: "/openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null});
"""


@blueprint.get("")
def page() -> Response:
    """Return the page."""
    headers = {"Content-Security-Policy": POLICY}
    return Response(_PAGE, headers=headers, content_type="text/html; charset=utf-8")


@blueprint.get("/page.js")
def script() -> Response:
    """Return the page's script, a file of its own so that the page needs no inline script."""
    return Response(_SCRIPT, content_type="text/javascript; charset=utf-8")


@blueprint.get("/assets/<name>")
def asset(name: str) -> Response:
    """Return a file of Swagger UI."""
    if name not in _ASSETS:
        raise Problem(problem_types.NOT_FOUND)
    body = (files(_PACKAGE) / "dist" / name).read_bytes()
    headers = {"Cache-Control": "public, max-age=86400"}
    return Response(body, headers=headers, content_type=_ASSETS[name])
