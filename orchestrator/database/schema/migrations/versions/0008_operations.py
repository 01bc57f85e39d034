"""Operations on many instances, and filters on what instances were started with."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSON, UUID

revision = "0008"
down_revision = "0007"

SQL = Path(__file__).parents[2] / "functions"
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.get_bind().exec_driver_sql((SQL / "searchable.sql").read_text().replace("%", "%%"))
    op.create_table(
        "operations",
        sa.Column("id", UUID(as_uuid=False), nullable=False),
        sa.Column("namespaces", ARRAY(sa.Text())),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("filter", JSON(), nullable=False),
        sa.Column("chosen", JSON(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("address", sa.Text()),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("matches", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("place", JSON()),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("ended_at", TIME),
        sa.PrimaryKeyConstraint("id", name="operations_pk"),
        schema="orchestrator",
    )
    op.create_index(
        "operations_created_at_ix", "operations", ["created_at", "id"], schema="orchestrator"
    )
    op.create_index(
        "operations_open_ix",
        "operations",
        ["created_at"],
        schema="orchestrator",
        postgresql_where=sa.text("state in ('pending', 'running')"),
    )
