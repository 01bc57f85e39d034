"""Feeds across instances follow positions that a sequence gives, no transaction ids.

A transaction id is bounded by every transaction of the whole server that is still open; a
position by those that have taken one. The first position follows the transaction ids that rows
have until then, so no row changes and readers go on where they are.
"""

from pathlib import Path

from alembic import op

revision = "0022"
down_revision = "0021"

SQL = Path(__file__).parents[2] / "functions"

#: Whoever has written a row has ended when the lock is had: no later row has a transaction id.
POSITIONS = """
do $$ begin
  lock table orchestrator.history, orchestrator.events in access exclusive mode;
  execute format('create sequence orchestrator.positions start %s cache 1',
                 pg_snapshot_xmax(pg_current_snapshot()));
end $$
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(POSITIONS.replace("%", "%%"))
    for table in ("history", "events"):
        op.execute(
            f"alter table orchestrator.{table}"
            " alter column tx set default nextval('orchestrator.positions')"
        )
    # A reader of the release before goes by transaction ids: it makes itself a place of its own.
    op.execute("update orchestrator.feeds set name = 'transitions' where name = 'lifecycle'")
    op.get_bind().exec_driver_sql((SQL / "positions_taken.sql").read_text())
