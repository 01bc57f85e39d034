"""The statements that run in other applications' transactions.

They stand here, not in `orchestrator.database`: that needs psycopg2, which these applications may
not have.
"""

from __future__ import annotations

#: Submits a start in the orchestrator's Postgres and returns the id of the instance-to-be.
SUBMIT = "select cast(orchestrator_outbox.submit(cast({} as json)) as text)"
#: Wakes the beats. Postgres sends it when the transaction commits.
NOTIFY = "select pg_notify('orchestrator_timers', '')"

#: Stores a start in any other database, in the table from which a relay takes them.
INSERT = "insert into orchestrator_outbox (id, request) values ({}, {})"

#: Makes the table. `{time}`: the type of a time with the default of now.
_CREATE = """
create table if not exists orchestrator_outbox (
  id varchar(36) not null primary key,
  request {text} not null,
  created_at {time} not null default current_timestamp,
  error {text}
)
"""
#: By default MySQL takes keys that differ in case for the same.
_EXACT = "varchar(255) character set utf8mb4 collate utf8mb4_bin"
#: By dialect: long texts, times, and the key of an effect.
_TYPES = {
    "postgresql": ("text", "timestamptz", "varchar(255)"),
    "mysql": ("longtext", "timestamp", _EXACT),
    "mariadb": ("longtext", "timestamp", _EXACT),
    "sqlite": ("text", "timestamp", "varchar(255)"),
}


_CREATE_EFFECTS = """
create table if not exists orchestrator_effects (
  effect {key} not null primary key,
  result {text},
  created_at {time} not null default current_timestamp
)
"""


def create_table(dialect: str) -> str:
    """Return the statement that makes the relay's table in a database of this dialect:
    ``postgresql``, ``mysql``, ``mariadb`` or ``sqlite``. Raises `ValueError` for another one."""
    return _created(_CREATE, dialect)


def create_effects_table(dialect: str) -> str:
    """Return the statement that makes the table of `once`, as `create_table` does."""
    return _created(_CREATE_EFFECTS, dialect)


def _created(statement: str, dialect: str) -> str:
    if dialect not in _TYPES:
        raise ValueError(f"the outbox knows no types of {dialect!r}, only of {', '.join(_TYPES)}")
    text, time, key = _TYPES[dialect]
    return statement.format(text=text, time=time, key=key).strip()


#: The oldest starts without an error; those with one wait for a person.
OLDEST = (
    "select id, request from orchestrator_outbox where error is null"
    " order by created_at, id limit {}"
)
DELETE = "delete from orchestrator_outbox where id = {}"
REFUSE = "update orchestrator_outbox set error = {} where id = {}"

_INSERT_OR_NOTHING = "insert into orchestrator_effects (effect) values ({}) on conflict do nothing"
#: Records an effect unless it is recorded; waits for another transaction that records it.
INSERT_EFFECT = {
    "postgresql": _INSERT_OR_NOTHING,
    "sqlite": _INSERT_OR_NOTHING,
    "mysql": "insert ignore into orchestrator_effects (effect) values ({})",
}
FIND_EFFECT = "select result from orchestrator_effects where effect = {}"
STORE_RESULT = "update orchestrator_effects set result = {} where effect = {}"
FORGET_EFFECT = "delete from orchestrator_effects where effect = {}"
