"""Which events an instance, a listener, a schedule and a subscription hear is said by the number
of the last event before them, no clock. Rows from before have none, and hear as they did."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

SQL = Path(__file__).parents[2] / "functions"

START_CHILD = """
create or replace function orchestrator.start_child(
  p_id uuid, p_workflow uuid, p_input json, p_state json, p_parent uuid, p_step int,
  p_engine smallint default 1
) returns void language plpgsql set enable_seqscan = off as $$
begin
  insert into orchestrator.instances (id, namespace, workflow_id, workflow, version,
    input, state, parent_instance, parent_step, engine, heard_from)
  select p_id, w.namespace, w.id, w.name, w.version, p_input, p_state, p_parent, p_step, p_engine,
         coalesce(pg_sequence_last_value('orchestrator.events_number_seq'), 0)
    from orchestrator.workflows w where w.id = p_workflow;
  if not found then
    raise exception 'workflow version % was removed', p_workflow using errcode = 'OR001';
  end if;
  insert into orchestrator.stimuli (instance_id, kind) values (p_id, 'start');
end $$;
"""


PLANS = """
do $$
declare
  found regprocedure;
begin
  for found in
    select p.oid from pg_proc p where p.pronamespace = 'orchestrator'::regnamespace
       and p.proname = 'start'
  loop
    execute format('alter function %s set enable_seqscan = off', found);
  end loop;
end $$
"""


def upgrade() -> None:
    for table in ("instances", "listeners", "schedules", "firings", "subscriptions"):
        op.add_column(table, sa.Column("heard_from", sa.BigInteger()), schema="orchestrator")
    op.add_column("listeners", sa.Column("look_back", sa.Float()), schema="orchestrator")
    texts = [(SQL / f"{name}.sql").read_text() for name in ("start", "start_one")]
    # The last one as every function of the hot path (0014).
    for text in (START_CHILD, *texts, PLANS):
        known = text.replace("create function", "create or replace function")
        op.get_bind().exec_driver_sql(known.replace("%", "%%"))
