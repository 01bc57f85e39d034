"""A ready sibling is taken in the transaction that ends a branch, which saves a commit a branch.

`claim_next` stays for the workers of the release before.
"""

from pathlib import Path

from alembic import op

revision = "0018"
down_revision = "0017"

SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    for name in ("take_next", "taken"):
        op.execute((SQL / f"{name}.sql").read_text())
