-- Return the namespaces and types (null: any type) of lifecycle events for which a listener,
-- a subscription or a schedule waits.
create or replace function orchestrator.lifecycle_subscribers() returns table (wanted_in text, wanted text)
language plpgsql stable set enable_seqscan = off as $$
begin
  return query
    select f.namespace, f.type from orchestrator.event_filters f cross join lateral
      (select from orchestrator.listener_index k where k.filter_id = f.id limit 1) k
     where f.lifecycle
    union
    select s.namespace, s.type from orchestrator.subscriptions s
     where s.lifecycle and s.state = 'active'
    union
    select s.namespace, null from orchestrator.schedules s
     where s.kind = 'on' and s.state = 'active' and s.timing::text like '%serverlessworkflow%';
end
$$;
