"""The migrations make just the tables that the code knows."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from orchestrator.database import migrate
from orchestrator.database.tables import metadata
from orchestrator.database.url import for_sqlalchemy
from orchestrator.names import SCHEMA


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
                "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
                "include_object": lambda _o, name, kind, _r, _c: name != "schema_version",
                "compare_type": True,
            },
        )
        assert compare_metadata(context, metadata) == []


def test_a_process_refuses_a_schema_it_does_not_know(empty_database_url: str) -> None:
    with pytest.raises(migrate.UnknownSchema, match="db upgrade"):
        migrate.check(empty_database_url)
    migrate.upgrade(empty_database_url)
    migrate.check(empty_database_url)
    assert migrate.current(empty_database_url) == migrate.head()


def test_upgrading_twice_changes_nothing(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    migrate.upgrade(empty_database_url)
    assert migrate.current(empty_database_url) == migrate.head()
