"""An attempt whose message was thrown away by a worker that can't run it says so.

Not a lost message, whose wait doubles: whoever can run it is handed it on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column(
        "attempts", sa.Column("refused_at", sa.DateTime(timezone=True)), schema="orchestrator"
    )
    op.create_index(
        "attempts_refused_ix",
        "attempts",
        ["refused_at"],
        schema="orchestrator",
        postgresql_where=sa.text("state = 'ready' and refused_at is not null"),
    )
