"""An index for filters on members of the input; what it may cost a start is bounded."""

from pathlib import Path

from alembic import op

revision = "0012"
down_revision = "0011"

SQL = Path(__file__).parents[2] / "functions"


def upgrade() -> None:
    op.get_bind().exec_driver_sql((SQL / "searchable.sql").read_text().replace("%", "%%"))
    # A short list of entries that wait to be sorted in: nobody pays for many of them at once.
    op.execute(
        "create index instances_input_ix on orchestrator.instances"
        " using gin (orchestrator.searchable(input) jsonb_path_ops)"
        " with (gin_pending_list_limit = 512)"
    )
    op.execute("alter index orchestrator.instances_input_ix alter column 1 set statistics 500")
    op.execute("alter index orchestrator.instances_labels_ix set (gin_pending_list_limit = 512)")
    # The planner is to know at once how many rows have what.
    op.execute("analyze orchestrator.instances")
