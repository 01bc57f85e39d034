-- Claim the newest ready attempt of an instance, of this task and queue, in the transaction that
-- ends another one. Concurrent callers claim others. `read_claimed_sibling` reads it after the
-- commit.
create or replace function orchestrator.claim_sibling(
  p_instance uuid, p_task text, p_queue text, p_worker uuid, p_process int, p_token text
) returns void
-- Without a sort only the index of an instance's own ready attempts will do.
language plpgsql set enable_seqscan = off set enable_sort = off as $$
begin
  update orchestrator.attempts
     set state = 'claimed', worker = p_worker, process = p_process, token = p_token,
         claimed_at = clock_timestamp()
   where id = (select id from orchestrator.attempts
                where instance_id = p_instance and state = 'ready' and not withdrawn
                  and task = p_task and queue = p_queue
                order by id desc limit 1 for update skip locked);
end
$$;
