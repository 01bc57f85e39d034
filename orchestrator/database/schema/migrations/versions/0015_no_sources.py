"""No table of sources whose events must be signed: nothing ever read it."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute("drop table orchestrator.event_sources")
