"""The functions of a database's schema, and the dumps of released schemas."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.database.connection.database import Database
from orchestrator.database.schema import function_installer

RELEASED = Path(__file__).parents[1] / "released_schemas"
DIGESTS = Path(function_installer.__file__).with_name("function_digests.txt")
#: The functions that a migration makes, because an index is built on each.
IN_MIGRATIONS = frozenset({"searchable_json", "error_type"})


def definitions(url: str) -> dict[str, str]:
    """Each function's definition and comment, by its signature."""
    database = Database(url, size=1)
    rows = database.all(
        "select case nspname when 'orchestrator' then '' else nspname || '.' end || proname"
        " || '(' || pg_get_function_identity_arguments(p.oid) || ')',"
        " pg_get_functiondef(p.oid) || coalesce(obj_description(p.oid, 'pg_proc'), '')"
        " from pg_proc p join pg_namespace n on n.oid = pronamespace"
        " where nspname in ('orchestrator', 'orchestrator_outbox')"
    )
    database.close()
    return dict(rows)


def careless(url: str) -> dict[str, str]:
    """Functions by name with what they break: a defaulted parameter or a missing SET clause."""
    database = Database(url, size=1)
    rows = database.all(
        "select proname, case when pronargdefaults > 0 then 'a defaulted parameter'"
        "  else 'no set enable_seqscan = off' end"
        " from pg_proc where pronamespace = any(array['orchestrator', 'orchestrator_outbox']"
        "::regnamespace[]) and (pronargdefaults > 0"
        "  or not coalesce('enable_seqscan=off' = any(proconfig), false))"
    )
    database.close()
    return dict(rows)


def recorded_digests() -> dict[str, str]:
    """The digest of the functions by the number of the migration that installs them."""
    lines = DIGESTS.read_text(encoding="utf-8").splitlines()
    return dict(line.split() for line in lines if not line.startswith("#"))


def load(url: str, dump: str) -> None:
    r"""Run a plain dump; its lines for psql alone (``\restrict``) are left out."""
    database = Database(url, size=1)
    database.all(re.sub(r"(?m)^\\.*$", "", dump))
    database.close()
