-- Return what one transition may read: the instance, a step with its ancestors, and how many
-- stimuli wait in the inbox. The function is stable: all of it comes from its caller's snapshot,
-- so a save may compare the sequence read here. In plpgsql, because it keeps plans.
create or replace function orchestrator.read_slice(p_instance uuid, p_step int) returns json
language plpgsql stable set enable_seqscan = off as $$
declare
  instance json;
  inbox bigint;
  chain json[];
  step json;
  above int := p_step;
begin
  select row_to_json(i) into instance from orchestrator.instances i where i.id = p_instance;
  select count(*) into inbox from orchestrator.stimuli q where q.instance_id = p_instance;
  while above <> 0 loop
    select row_to_json(s), s.parent into step, above
      from orchestrator.steps s where s.instance_id = p_instance and s.id = above;
    exit when not found;
    chain := chain || step;
  end loop;
  return json_build_object(
    'instance', instance, 'steps', array_to_json(chain), 'inbox', inbox,
    'now', extract(epoch from clock_timestamp()));
end
$$;
