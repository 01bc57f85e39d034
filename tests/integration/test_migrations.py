"""The migrations make just the tables that the code knows."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from orchestrator.database.connection.database import Database
from orchestrator.database.connection.postgres_url import for_sqlalchemy
from orchestrator.database.schema import upgrade
from orchestrator.database.schema.tables import metadata
from orchestrator.message_names import OUTBOX_SCHEMA, SCHEMA


def test_models_and_migrations_agree(database_url: str) -> None:
    # The server's user is named like our schema, which would make that its default one.
    engine = sa.create_engine(
        for_sqlalchemy(database_url),
        poolclass=sa.NullPool,
        connect_args={"options": "-c search_path=public"},
    )
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, _: (
                    kind != "schema" or name in (SCHEMA, OUTBOX_SCHEMA)
                ),
                "include_object": lambda _o, name, kind, _r, _c: name != "schema_version",
                "compare_type": True,
            },
        )
        assert compare_metadata(context, metadata) == []


def test_a_process_refuses_a_schema_it_does_not_know(empty_database_url: str) -> None:
    with pytest.raises(upgrade.UnknownSchema, match="db upgrade"):
        upgrade.check(empty_database_url)
    upgrade.upgrade(empty_database_url)
    upgrade.check(empty_database_url)
    assert upgrade.current(empty_database_url) == upgrade.head()


def test_upgrading_twice_changes_nothing(empty_database_url: str) -> None:
    upgrade.upgrade(empty_database_url)
    upgrade.upgrade(empty_database_url)
    assert upgrade.current(empty_database_url) == upgrade.head()


def test_the_tables_leave_the_room_that_the_models_say(database: Database) -> None:
    """SQLAlchemy 2.0 knows no storage parameters of tables, so the models have them as `info`."""
    found = database.all(
        "select relname, reloptions from pg_class"
        f" where relnamespace = '{SCHEMA}'::regnamespace and relkind = 'r'"
    )
    made = {name: options for name, options in found if options and "fillfactor" in options[0]}
    said = {
        table.name: [f"fillfactor={table.info['fillfactor']}"]
        for table in metadata.tables.values()
        if "fillfactor" in table.info
    }
    assert said
    assert made == said
