"""Counts of workers: what each has claimed, refused and ended since its start."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute("alter table orchestrator.workers add column counts json not null default '{}'")
