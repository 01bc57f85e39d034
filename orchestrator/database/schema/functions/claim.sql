-- A worker takes an attempt, or is refused (null). The guard is the whole fence: id, task,
-- state. Asking again with the same token after a lost reply gives the first answer.
create function orchestrator.claim(
  p_attempt uuid, p_instance uuid, p_task text, p_worker uuid, p_process int, p_token text
) returns json
language plpgsql as $$
declare
  a orchestrator.attempts;
begin
  update orchestrator.attempts
     set state = 'claimed', worker = p_worker, process = p_process, token = p_token,
         claimed_at = clock_timestamp()
   where id = p_attempt and instance_id = p_instance and task = p_task
     and state = 'ready' and not withdrawn
  returning * into a;
  if not found then
    select * into a from orchestrator.attempts
     where id = p_attempt and state = 'claimed' and token = p_token;
    if not found then
      return null;
    end if;
  end if;
  return json_build_object(
    'attempt', row_to_json(a), 'slice', orchestrator.read_slice(a.instance_id, a.step));
end
$$;
