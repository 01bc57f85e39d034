"""The ready attempts of an instance that stand at the broker, to count them no further than
it matters."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute(
        "create index attempts_published_ix on orchestrator.attempts (instance_id)"
        " where state = 'ready' and published_at is not null"
    )
