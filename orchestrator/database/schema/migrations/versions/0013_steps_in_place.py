"""What no step can be undone for changes in place: no index names what its end sets.

An index on `done` made every end of a step a new entry in each index of the table.
"""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute(
        "alter table orchestrator.steps add column undoable integer"
        " generated always as (case when undo is not null then done end) stored"
    )
    op.execute(
        "create index steps_undoable_ix on orchestrator.steps (instance_id, undoable)"
        " where undoable is not null"
    )
    op.execute("drop index orchestrator.steps_undo_ix")
