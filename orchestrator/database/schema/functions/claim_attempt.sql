-- Claim an attempt for a worker process; return it with its slice, or null where it is refused.
-- The guard (id, instance, task, state) is the whole fence. A repeated call with the same token,
-- after a lost reply, returns the first answer.
create or replace function orchestrator.claim_attempt(
  p_attempt uuid, p_instance uuid, p_task text, p_worker uuid, p_process int, p_token text
) returns json
language plpgsql set enable_seqscan = off as $$
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
