-- Return the oldest stimulus of an instance that may be applied now, with the slice it needs.
-- While an instance is suspended only commands and results are applied; the others wait. One
-- query: a stimulus that concerns no step, such as a start, needs no more than the instance's row.
-- Null also while another process has the lease on the instance's decisions.
create or replace function orchestrator.read_inbox(p_instance uuid, p_token text) returns json
language plpgsql stable set enable_seqscan = off as $$
begin
  return (
    select json_build_object(
      'stimulus', row_to_json(q),
      'attempt', case when q.attempt is not null then
        (select row_to_json(a) from orchestrator.attempts a where a.id = q.attempt) end,
      'slice', case when coalesce(q.step, 0) = 0 then json_build_object(
        'instance', row_to_json(i), 'steps', null,
        'inbox', (select count(*) from orchestrator.stimuli n where n.instance_id = p_instance),
        'now', extract(epoch from clock_timestamp()))
      else orchestrator.read_slice(p_instance, q.step) end)
      from orchestrator.stimuli q, orchestrator.instances i
     where q.instance_id = p_instance and i.id = p_instance
       and not exists (
         select from orchestrator.decision_leases l
          where l.instance_id = p_instance and l.token <> p_token
            and l.expires_at > clock_timestamp())
       and (i.status <> 'suspended' or q.kind in ('command', 'result'))
     order by q.deferred, q.id limit 1);
end
$$;
