"""The functions of the hot path never plan a scan of a whole table.

A session keeps the plans of its functions. One that planned while a table was small would go on
scanning it from end to end as it grows, until Postgres' statistics are made anew.
"""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute(
        """
        do $$
        declare
          found regprocedure;
        begin
          for found in
            select p.oid from pg_proc p join pg_language l on l.oid = p.prolang
             where p.pronamespace = 'orchestrator'::regnamespace and l.lanname = 'plpgsql'
          loop
            execute format('alter function %s set enable_seqscan = off', found);
          end loop;
        end $$
        """
    )
