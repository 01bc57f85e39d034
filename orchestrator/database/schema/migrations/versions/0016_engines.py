"""Whoever starts an instance says by which engine's rules it is decided.

A release that does not say so knows of the first one only, which is the default.
"""

from pathlib import Path

from alembic import op

revision = "0016"
down_revision = "0015"

SQL = Path(__file__).parents[2] / "functions"

START_CHILD = """
create function orchestrator.start_child(
  p_id uuid, p_workflow uuid, p_input json, p_state json, p_parent uuid, p_step int,
  p_engine smallint default 1
) returns void language plpgsql as $$
begin
  insert into orchestrator.instances (id, namespace, workflow_id, workflow, version,
    input, state, parent_instance, parent_step, engine)
  select p_id, w.namespace, w.id, w.name, w.version, p_input, p_state, p_parent, p_step, p_engine
    from orchestrator.workflows w where w.id = p_workflow;
  if not found then
    raise exception 'workflow version % was removed', p_workflow using errcode = 'OR001';
  end if;
  insert into orchestrator.stimuli (instance_id, kind) values (p_id, 'start');
end $$;
"""

#: A command for each form of the two functions.
EACH = """
do $$
declare
  found regprocedure;
begin
  for found in
    select p.oid from pg_proc p where p.pronamespace = 'orchestrator'::regnamespace
       and p.proname in ('start', 'start_child')
  loop
    execute format('{}', found);
  end loop;
end $$
"""


def upgrade() -> None:
    # Both forms would fit a call without the engine: the one before must go. (A new database has
    # made the new one already.)
    op.execute(EACH.format("drop function %s"))
    op.get_bind().exec_driver_sql((SQL / "start.sql").read_text().replace("%", "%%"))
    op.execute(START_CHILD)
    # As every function of the hot path (0014).
    op.execute(EACH.format("alter function %s set enable_seqscan = off"))
