-- The oldest stimulus of an instance that may be taken now, with the slice that it needs.
-- While an instance is suspended only commands and results are taken; the others wait.
create function orchestrator.read_inbox(p_instance uuid) returns json
language plpgsql stable as $$
declare
  f orchestrator.stimuli;
begin
  select q.* into f from orchestrator.stimuli q, orchestrator.instances i
   where q.instance_id = p_instance and i.id = p_instance
     and (i.status <> 'suspended' or q.kind in ('command', 'result'))
   order by q.set_aside, q.id limit 1;
  if not found then
    return null;
  end if;
  return json_build_object(
    'stimulus', row_to_json(f),
    'attempt', (select row_to_json(a) from orchestrator.attempts a where a.id = f.attempt),
    'slice', orchestrator.read_slice(p_instance, coalesce(f.step, 0)));
end
$$;
