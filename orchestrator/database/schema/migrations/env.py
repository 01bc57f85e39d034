"""Alembic's entry: runs inside the connection that `orchestrator.database.schema.upgrade` gives
it."""

from alembic import context

from orchestrator.database.schema.tables import metadata
from orchestrator.message_names import SCHEMA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="schema_version",
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=lambda name, kind, _parents: kind != "schema" or name == SCHEMA,
    compare_type=True,
    compare_server_default=False,
)
with context.begin_transaction():
    context.run_migrations()
