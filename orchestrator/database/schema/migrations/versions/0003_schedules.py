"""Schedules with their ledger, and the periodic entries that all beats share."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON, UUID

revision = "0003"
down_revision = "0002"

SCHEMA = "orchestrator"
ID = UUID(as_uuid=False)
TIME = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    _schedules()
    _firings()
    _beat_entries()


def _schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("id", ID, nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        sa.Column("workflow_id", ID, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("timing", JSON(), nullable=False),
        sa.Column("policy", JSON(), nullable=False),
        sa.Column("anchor", TIME, nullable=False),
        sa.Column("next_due", TIME),
        sa.Column("next_at", TIME),
        sa.Column("last_instance", ID),
        sa.Column("waiting", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="schedules_pk"),
        sa.UniqueConstraint(
            "namespace", "workflow", "kind", name="schedules_namespace_workflow_kind_uq"
        ),
        schema=SCHEMA,
        postgresql_with={"fillfactor": "70"},
    )
    _index("schedules", "next_at", "next_at", where="state = 'active' and next_at is not null")
    _index("schedules", "waiting", "id", where="waiting")
    _index("schedules", "on", "namespace", where="kind = 'on' and state = 'active'")


def _firings() -> None:
    op.create_table(
        "firings",
        sa.Column("schedule_id", ID, nullable=False),
        sa.Column("due", TIME, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("why", sa.Text()),
        sa.Column("since", TIME),
        sa.Column("planned_at", TIME, nullable=False),
        sa.Column("fired_at", TIME),
        sa.Column("instance_id", ID),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("key", sa.Text()),
        sa.Column("input", JSON()),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("schedule_id", "due", name="firings_pk"),
        schema=SCHEMA,
    )
    op.create_index(
        "firings_key_uq",
        "firings",
        ["schedule_id", "key"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("key is not null"),
    )
    _index("firings", "queued", "schedule_id", "due", where="outcome = 'queued'")
    _index("firings", "created_at", "created_at")


def _beat_entries() -> None:
    op.create_table(
        "beat_entries",
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("last_due", TIME, nullable=False),
        sa.Column("seen_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("app", "entry", name="beat_entries_pk"),
        schema=SCHEMA,
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "beat_firings",
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("due", TIME, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("tried_at", TIME, server_default=NOW, nullable=False),
        sa.Column("sent_at", TIME),
        sa.PrimaryKeyConstraint("app", "entry", "due", name="beat_firings_pk"),
        schema=SCHEMA,
    )
    _index("beat_firings", "unsent", "tried_at", where="sent_at is null")
    _index("beat_firings", "created_at", "created_at")


def _index(table: str, name: str, *columns: str, where: str | None = None) -> None:
    op.create_index(
        f"{table}_{name}_ix",
        table,
        list(columns),
        schema=SCHEMA,
        postgresql_where=sa.text(where) if where else None,
    )
