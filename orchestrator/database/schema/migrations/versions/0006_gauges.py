"""Gauges: who has not ended is found without looking at who has."""

from alembic import op

revision = "0006"
down_revision = "0005"

INDEXES = """
create index instances_open_ix on orchestrator.instances (namespace, workflow, status)
 where status in ('pending', 'running', 'waiting', 'suspended');
create index instances_compensating_ix on orchestrator.instances (namespace, workflow)
 where compensation = 'running';
"""


def upgrade() -> None:
    op.execute(INDEXES)
