-- The most frequent start: one instance, at once, without an idempotency key. It does what
-- `start_instances` does, in less than half the time, because it handles no arrays.
create or replace function orchestrator.start_instance(
  p_workflow uuid, p_newest boolean, p_id uuid, p_business text, p_input json, p_labels jsonb,
  p_at timestamptz, p_data json, p_engine smallint
) returns text
language plpgsql set enable_seqscan = off as $$
declare
  w record;
begin
  -- As in `start_instances`: the removal of a workflow locks the table against this.
  lock table orchestrator.instances in row exclusive mode;
  select n.namespace, n.name, n.version, n.version_key into w
    from orchestrator.workflows n where n.id = p_workflow and n.retired_at is null;
  if not found or p_newest and exists (
    select from orchestrator.workflows n
     where n.namespace = w.namespace and n.name = w.name and n.version_key > w.version_key)
  then
    return 'outdated';
  end if;
  if p_business is not null and exists (
    select from orchestrator.instances i
     where i.namespace = w.namespace and i.business_id = p_business)
  then
    return 'taken';
  end if;
  insert into orchestrator.instances (
    id, namespace, workflow_id, workflow, version, business_id, input, labels, created_at, engine,
    heard_from)
  values (p_id, w.namespace, p_workflow, w.name, w.version, p_business, p_input, p_labels, p_at,
          p_engine, coalesce(pg_sequence_last_value('orchestrator.events_receipt_number_seq'), 0));
  insert into orchestrator.stimuli (instance_id, kind, data) values (p_id, 'start', p_data);
  return 'started';
end
$$;
