"""APIs and beats announce themselves; workers say their broker, their app and their clock."""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.execute(
        "alter table orchestrator.workers add column app text, add column broker text,"
        " add column clock_offset double precision"
    )
    op.execute(
        "create table orchestrator.processes (id uuid not null, kind text not null,"
        " name text not null, pid integer not null, broker text,"
        " clock_offset double precision,"
        " started_at timestamptz not null default clock_timestamp(),"
        " seen_at timestamptz not null default clock_timestamp(),"
        " constraint processes_pk primary key (id))"
    )
