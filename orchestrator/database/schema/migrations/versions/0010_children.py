"""A sub-workflow whose version was removed meanwhile is refused, not silently left out."""

from alembic import op

revision = "0010"
down_revision = "0009"

START_CHILD = """
create function orchestrator.start_child(
  p_id uuid, p_workflow uuid, p_input json, p_state json, p_parent uuid, p_step int
) returns void language plpgsql as $$
begin
  insert into orchestrator.instances (id, namespace, workflow_id, workflow, version,
    input, state, parent_instance, parent_step)
  select p_id, w.namespace, w.id, w.name, w.version, p_input, p_state, p_parent, p_step
    from orchestrator.workflows w where w.id = p_workflow;
  if not found then
    raise exception 'workflow version % was removed', p_workflow using errcode = 'OR001';
  end if;
  insert into orchestrator.stimuli (instance_id, kind) values (p_id, 'start');
end $$;
"""


def upgrade() -> None:
    op.execute(START_CHILD)
