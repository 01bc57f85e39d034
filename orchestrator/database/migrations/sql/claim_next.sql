-- A worker of a fork takes another ready attempt of the instance, of the same task and queue.
-- The newest, because the oldest have messages on their way.
create function orchestrator.claim_next(
  p_instance uuid, p_task text, p_queue text, p_worker uuid, p_process int, p_token text
) returns json
language plpgsql as $$
declare
  a orchestrator.attempts;
begin
  update orchestrator.attempts
     set state = 'claimed', worker = p_worker, process = p_process, token = p_token,
         claimed_at = clock_timestamp()
   where id = (select id from orchestrator.attempts
                where instance_id = p_instance and state = 'ready' and not withdrawn
                  and task = p_task and queue = p_queue
                order by id desc limit 1 for update skip locked)
  returning * into a;
  if not found then
    return null;
  end if;
  return json_build_object(
    'attempt', row_to_json(a), 'slice', orchestrator.read_slice(a.instance_id, a.step));
end
$$;
