-- Return the attempt claimed under a token, with its slice; null: there is none.
create or replace function orchestrator.read_claimed_sibling(p_worker uuid, p_process int, p_token text) returns json
language plpgsql stable set enable_seqscan = off as $$
declare
  a orchestrator.attempts;
begin
  select * into a from orchestrator.attempts
   where worker = p_worker and process = p_process and state = 'claimed' and token = p_token;
  if not found then
    return null;
  end if;
  return json_build_object(
    'attempt', row_to_json(a), 'slice', orchestrator.read_slice(a.instance_id, a.step));
end
$$;
