"""``/console/login/oidc``: a session for a person whom an identity provider knows.

The login that was begun is in a cookie of the browser, so that an answer of the provider counts
only in the browser that asked for it.
"""

from __future__ import annotations

from flask import Blueprint, Response, redirect, request

from api.console.login import login_page, next_path, see
from api.console.pages import PREFIX
from api.http import problem_types
from api.http.app_state import state
from api.http.problems import Problem
from api.shared.oidc_provider import Login, LoginRefused, OidcProvider, ProviderUnavailable
from orchestrator.errors import DatabaseUnavailable
from orchestrator.log import get_logger

log = get_logger(__name__)

CALLBACK = f"{PREFIX}/login/oidc/callback"
#: The cookie with the login that was begun, and the seconds for which it is good.
LOGIN_COOKIE = "orchestrator-oidc"
_LOGIN_TIME = 600.0

blueprint = Blueprint("console_oidc", __name__, template_folder="templates")


def _provider() -> OidcProvider:
    found = state().oidc
    if found is None:
        raise Problem(problem_types.NOT_FOUND)
    return found


@blueprint.get(f"{PREFIX}/login/oidc")
def begin() -> Response:
    """Send the browser to the provider."""
    provider = _provider()
    sessions = state().sessions
    try:
        login, address = provider.begin(next_path())
    except ProviderUnavailable as error:
        return _unavailable(error)
    answer: Response = redirect(address, 303)  # type: ignore[assignment]  # werkzeug's
    # Set SameSite=Lax: the provider, which is another site, sends the browser back here. With
    # Strict the browser would not send the cookie then.
    sessions.set_cookie(request, answer, LOGIN_COOKIE, login.written(), _LOGIN_TIME, "Lax")
    return answer


@blueprint.get(CALLBACK)
def callback() -> Response:
    """Begin a session for the person whom the provider names."""
    provider, sessions = _provider(), state().sessions
    given = request.cookies.get(sessions.cookie_name(request, LOGIN_COOKIE), "")
    login = Login.read(given)
    if login is None:
        return login_page("This login is too old, or was begun in another browser. Try again.", 403)
    try:
        person = provider.finish(login, request.args)
        if provider.settings.grant(person.groups) is None:
            log.warning(
                "A person without access has logged in", action="login_refused", who=person.subject
            )
            return _ended(
                login_page(f"{person.name} has no access: ask an admin for a group that has.", 403)
            )
        answer = see(next_path(login.next))
        sessions.begin(request, answer, person)
    except LoginRefused as error:
        log.warning("A login was refused", action="login_refused", reason=str(error))
        return _ended(login_page("The login was refused. Try again.", 403))
    except ProviderUnavailable as error:
        return _ended(_unavailable(error))
    except DatabaseUnavailable:
        return login_page("The database does not answer. Nothing is lost; try again soon.", 503)
    return _ended(answer)


def _unavailable(error: ProviderUnavailable) -> Response:
    log.warning(
        "The identity provider cannot log people in", action="login_failed", reason=str(error)
    )
    return login_page("The identity provider does not answer as it should. Try again soon.", 503)


def _ended(answer: Response) -> Response:
    """Remove the login that was begun: its answer counts once."""
    state().sessions.set_cookie(request, answer, LOGIN_COOKIE, "", 0, "Lax")
    return answer
