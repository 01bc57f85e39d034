"""The commonest start, first and last transition, and that of a branch, have functions of their
own, as the commonest one between them has; an inbox is read by one query."""

from pathlib import Path

from alembic import op

revision = "0020"
down_revision = "0019"

SQL = Path(__file__).parents[2] / "functions"


def upgrade() -> None:
    for name in ("start_one", "save_first", "save_last", "save_branch", "read_inbox"):
        op.get_bind().exec_driver_sql((SQL / f"{name}.sql").read_text().replace("%", "%%"))
