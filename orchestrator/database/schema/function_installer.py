"""Install the Postgres functions: one ``.sql`` file each in ``functions``, after the tables; those
of the outbox's schema in ``functions/orchestrator_outbox``.

A released function keeps its name, parameters and return type: a change of these is a new name.
The old file moves to ``functions/previous`` for one release, whose schema the release before still
works on; the upgrade after that drops the function. See docs/decisions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import ConfigurationError
from orchestrator.message_names import OUTBOX_SCHEMA, SCHEMA

if TYPE_CHECKING:
    import sqlalchemy as sa

FOLDER = Path(__file__).parent / "functions"

#: The comment on each installed function: without a file, a function with this comment is dropped.
#: Other functions in the schema are an operator's, an extension's or a migration's.
INSTALLED = "installed by the upgrade"

_ABANDONED = """
select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
 where n.nspname = any(%(schemas)s) and n.nspname || '.' || p.proname <> all(%(names)s)
   and obj_description(p.oid, 'pg_proc') = %(comment)s
"""
_OVERLOADED = """
select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
 where n.nspname || '.' || p.proname = any(%(names)s)
 group by n.nspname, p.proname having count(*) > 1
"""


class SignatureChanged(ConfigurationError):
    """A function's file has other parameters than the function of that name in the database."""


def read_functions(folder: Path = FOLDER) -> Mapping[str, str]:
    """Return the SQL of each function by its name, those in ``previous`` first. The names of the
    outbox's functions begin with their schema.

    Raises:
        ConfigurationError: a name has a file in both folders.
    """
    found: dict[str, str] = {}
    for file in (*sorted(folder.glob("previous/*.sql")), *sorted(folder.glob("*.sql"))):
        if file.stem in found:
            raise ConfigurationError(f"the function {file.stem} has two files")
        found[file.stem] = file.read_text(encoding="utf-8")
    for file in sorted((folder / OUTBOX_SCHEMA).glob("*.sql")):
        found[f"{OUTBOX_SCHEMA}.{file.stem}"] = file.read_text(encoding="utf-8")
    return found


def qualified(name: str) -> str:
    """Return a name of `read_functions` with its schema."""
    return name if "." in name else f"{SCHEMA}.{name}"


@lru_cache
def digest(folder: Path = FOLDER) -> str:
    """Return the SHA-256 of all function files, in hexadecimal: a part of the schema's version."""
    parts = (f"{name}\0{sql}\0" for name, sql in sorted(read_functions(folder).items()))
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def install_functions(connection: sa.Connection, folder: Path = FOLDER) -> None:
    """Create or replace all functions in the connection's transaction; drop those installed by
    an earlier release that have no file any more.

    Raises:
        SignatureChanged: an overload would make calls ambiguous for the other release.
    """
    functions = read_functions(folder)
    about = {
        "schemas": [SCHEMA, OUTBOX_SCHEMA],
        "names": [qualified(name) for name in functions],
        "comment": INSTALLED,
    }
    for (signature,) in connection.exec_driver_sql(_ABANDONED, about).all():
        connection.exec_driver_sql(f"drop function {signature}")
    for sql in functions.values():
        # Double each percent sign in the SQL: the driver reads a single one as the beginning of a
        # parameter.
        connection.exec_driver_sql(sql.replace("%", "%%"))
    if overloaded := connection.exec_driver_sql(_OVERLOADED, about).scalars().all():
        raise SignatureChanged(
            f"{', '.join(sorted(overloaded))}: the parameters differ from those in the database;"
            " a changed function needs a new name"
        )
    for name in functions:
        connection.exec_driver_sql(f"comment on function {qualified(name)} is '{INSTALLED}'")
