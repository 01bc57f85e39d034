"""Rights of a database login to submit starts in its own transactions.

The login gets the right to call one function, and none on a table. Postgres quotes the names, so
that the statements can be printed for an administrator as they would be executed.
"""

from __future__ import annotations

from orchestrator.database.connection.session import Session

_GRANT = """
select format(
    'insert into orchestrator_outbox.logins (login, namespace, max_rows) values (%%L, %%L, %%s)'
    ' on conflict (login) do update set namespace = excluded.namespace,'
    ' max_rows = excluded.max_rows', %(login)s, %(namespace)s, %(max_rows)s::int),
  format('grant usage on schema orchestrator_outbox to %%I', %(login)s),
  format('grant execute on function orchestrator_outbox.submit(json) to %%I', %(login)s)
"""
_REVOKE = """
select format('delete from orchestrator_outbox.logins where login = %%L', %(login)s),
  format('revoke execute on function orchestrator_outbox.submit(json) from %%I', %(login)s),
  format('revoke usage on schema orchestrator_outbox from %%I', %(login)s)
"""


def grant_statements(session: Session, login: str, namespace: str, max_rows: int) -> list[str]:
    """Return the statements that map a login to a namespace and let it submit starts there."""
    row = session.one(_GRANT, {"login": login, "namespace": namespace, "max_rows": max_rows})
    return list(row or ())


def revoke_statements(session: Session, login: str) -> list[str]:
    """Return the statements that take the right away again. Its submitted starts remain."""
    return list(session.one(_REVOKE, {"login": login}) or ())


def execute(session: Session, statements: list[str]) -> None:
    """Execute statements of this module, all or none."""
    session.all("; ".join(statements))


def can_log_in(session: Session, role: str) -> bool | None:
    """Whether a role is a login; None: there is no such role."""
    row = session.one("select rolcanlogin from pg_roles where rolname = %s", (role,))
    return row[0] if row else None


def logins(session: Session) -> dict[str, str]:
    """Return the namespace of each login that may submit starts."""
    rows = session.all("select login, namespace from orchestrator_outbox.logins")
    return {row[0]: row[1] for row in rows}


def session_login(session: Session) -> str:
    """Return the login of this connection, as the outbox sees it."""
    row = session.one("select session_user::text")
    return str(row[0]) if row else ""
