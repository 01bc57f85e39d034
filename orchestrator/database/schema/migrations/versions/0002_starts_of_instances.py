"""Starts of instances in one round trip: one or many, with their idempotency record."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"

SQL = Path(__file__).parents[2] / "functions"


def upgrade() -> None:
    op.get_bind().exec_driver_sql((SQL / "start.sql").read_text().replace("%", "%%"))
