-- Lock an instance's row, then read its slice: the read follows the lock, so it sees what the
-- last holder committed.
create or replace function orchestrator.lock_slice(p_instance uuid, p_step int, p_attempt uuid) returns json
language plpgsql set enable_seqscan = off as $$
begin
  perform 1 from orchestrator.instances where id = p_instance for update;
  return json_build_object(
    'slice', orchestrator.read_slice(p_instance, p_step),
    'attempt', (select row_to_json(a) from orchestrator.attempts a where a.id = p_attempt));
end
$$;
