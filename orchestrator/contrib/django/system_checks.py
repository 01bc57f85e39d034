"""Checks for `manage.py check`. That of the database runs with `--database ALIAS`, and before
`migrate`, as all of Django's do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution

from orchestrator.contrib.django.configuration import configured, option, unknown_names
from orchestrator.errors import ConfigurationError
from orchestrator.settings import load_settings

#: Whether the function is there, and may be called by this login. Read from the catalog: naming the
#: function without the right to its schema is an error.
_MAY_SUBMIT = """
select count(*) > 0,
  coalesce(bool_and(has_schema_privilege(n.oid, 'usage')
    and has_function_privilege(p.oid, 'execute')), false),
  session_user::text
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname = 'orchestrator_outbox' and p.proname = 'submit'
"""


def check_settings(**_: Any) -> list[CheckMessage]:
    """Check that each setting is known and has a value that the orchestrator accepts."""
    from django.conf import settings

    if not isinstance(getattr(settings, "ORCHESTRATOR", {}), dict):
        return [Error("ORCHESTRATOR must be a dictionary", id="orchestrator.E001")]
    found: list[CheckMessage] = [
        Error(message, id="orchestrator.E002") for message in unknown_names()
    ]
    try:
        load_settings()
    except ConfigurationError as error:
        found.append(Error(str(error), id="orchestrator.E003"))
    alias = option("DATABASE")
    if alias is not None and alias not in settings.DATABASES:
        found.append(
            Error(f"ORCHESTRATOR['DATABASE'] names no database: {alias!r}", id="orchestrator.E004")
        )
    return found


def check_outbox(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check that `start_in` may be called on the database that it uses."""
    from django.db import DatabaseError, connections

    alias = option("DATABASE")
    if alias is None or alias not in (databases or ()):
        return []
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return []
    try:
        with connection.cursor() as cursor:
            cursor.execute(_MAY_SUBMIT)
            is_there, may_call, login = cursor.fetchone()
    except DatabaseError as error:
        return [Caution(f"the outbox can't be checked: {error}", id="orchestrator.W005")]
    if not is_there:
        hint = "run `orchestrator db upgrade` on it, or set ORCHESTRATOR['DATABASE'] to None"
        if "DATABASE" not in configured():
            hint += " if the orchestrator has a database of its own"
        message = f"the database {alias!r} does not have the orchestrator's tables"
        return [Caution(message, hint=hint, id="orchestrator.W006")]
    if not may_call:
        return [
            Caution(
                f"the login {login} of the database {alias!r} may not submit starts",
                hint=f"run: orchestrator db grants {login} --namespace {option('NAMESPACE')}",
                id="orchestrator.W007",
            )
        ]
    return []
