"""A ready sibling is taken in the transaction that ends a branch, which saves a commit a branch.

Both at once, in a transaction of its own, was `claim_next`, which no release has had.
"""

from pathlib import Path

from alembic import op

revision = "0018"
down_revision = "0017"

SQL = Path(__file__).parents[2] / "functions"


def upgrade() -> None:
    op.execute("drop function if exists orchestrator.claim_next(uuid, text, text, uuid, int, text)")
    for name in ("take_next", "taken"):
        op.execute((SQL / f"{name}.sql").read_text())
