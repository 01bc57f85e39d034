-- Insert the instance of a sub-workflow with its start stimulus. OR001: the workflow version was
-- removed since the parent's slice was read. The child hears the events numbered from now on. The
-- starts of a tree below its root's own are counted (`instance_trees`).
create or replace function orchestrator.start_child_instance(
  p_id uuid, p_workflow uuid, p_input json, p_state json, p_parent uuid, p_step int,
  p_engine smallint
) returns void
language plpgsql set enable_seqscan = off as $$
begin
  insert into orchestrator.instances (
    id, namespace, workflow_id, workflow, version, input, state, parent_instance, parent_step,
    engine, heard_from)
  select p_id, w.namespace, w.id, w.name, w.version, p_input, p_state, p_parent, p_step, p_engine,
         coalesce(pg_sequence_last_value('orchestrator.events_receipt_number_seq'), 0)
    from orchestrator.workflows w where w.id = p_workflow and w.retired_at is null;
  if not found then
    raise exception 'workflow version % was removed', p_workflow using errcode = 'OR001';
  end if;
  insert into orchestrator.stimuli (instance_id, kind) values (p_id, 'start');
  if (p_state->'tree'->>'generation')::int > 1 then
    insert into orchestrator.instance_trees as t (root_id, started, since)
    values ((p_state->'tree'->>'root')::uuid, 1, clock_timestamp())
    on conflict (root_id) do update
    set started = case when t.since < clock_timestamp() - interval '1 hour' then 1
                       else t.started + 1 end,
        since = case when t.since < clock_timestamp() - interval '1 hour' then excluded.since
                     else t.since end;
  end if;
end
$$;
