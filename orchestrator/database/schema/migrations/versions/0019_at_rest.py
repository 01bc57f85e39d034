"""What a beat asks again and again is asked by functions, whose plans are kept; and a beat that
finds everything at rest asks little else."""

from pathlib import Path

from alembic import op

revision = "0019"
down_revision = "0018"

SQL = Path(__file__).parents[2] / "functions"


def upgrade() -> None:
    for name in ("at_rest", "next_due", "lifecycle_interest"):
        op.get_bind().exec_driver_sql((SQL / f"{name}.sql").read_text().replace("%", "%%"))
