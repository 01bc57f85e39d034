-- What one transition may look at: the instance, a step and its ancestors, and how much
-- waits in the inbox. One statement, so one snapshot: saves compare the sequence read here.
create function orchestrator.read_slice(p_instance uuid, p_step int) returns json
language sql stable as $$
  with recursive chain as (
    select s.* from orchestrator.steps s
     where s.instance_id = p_instance and s.id = p_step
    union all
    select s.* from orchestrator.steps s, chain c
     where s.instance_id = p_instance and s.id = c.parent and c.parent <> 0
  )
  select json_build_object(
    'instance', (select row_to_json(i) from orchestrator.instances i where i.id = p_instance),
    'steps', (select json_agg(row_to_json(c)) from chain c),
    'inbox', (select count(*) from orchestrator.stimuli q where q.instance_id = p_instance),
    'now', extract(epoch from clock_timestamp())
  )
$$;
