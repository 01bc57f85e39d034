-- Start instances, all of them or none. Each gets its row and a start stimulus, or a timer where it
-- starts later. Returns:
--   started    all are inserted
--   outdated   a workflow was removed, or has a newer version than the newest known to the caller
--   seen       the idempotency key has an answer already
--   in_flight  another request with the same idempotency key is being answered now
--   taken      another instance has the business_id
-- Each hears the events numbered from now on (`heard_from`). A business_id that another transaction
-- takes at the same moment raises unique_violation. Postgres logs the statement of each error, with
-- its input: so the check comes first.
create or replace function orchestrator.start_instances(
  p_workflow uuid[], p_newest boolean[], p_id uuid[], p_business text[], p_input json[],
  p_labels jsonb[], p_due timestamptz[], p_at timestamptz, p_data json,
  p_scope text, p_key text, p_digest text, p_status smallint, p_headers json, p_body json,
  p_engine smallint
) returns text
language plpgsql set enable_seqscan = off as $$
begin
  -- The removal of a workflow locks the table against this: no instance is left without its
  -- workflow.
  lock table orchestrator.instances in row exclusive mode;
  if exists (
    select from (select distinct a.workflow, a.newest
                   from unnest(p_workflow, p_newest) as a(workflow, newest)) a
      left join orchestrator.workflows w on w.id = a.workflow
     where w.id is null or w.retired_at is not null
        or a.newest and exists (
             select from orchestrator.workflows n
              where n.namespace = w.namespace and n.name = w.name
                and n.version_key > w.version_key)
  ) then
    return 'outdated';
  end if;
  if p_key is not null then
    if not pg_try_advisory_xact_lock(hashtextextended(p_scope || ' ' || p_key, 0)) then
      return 'in_flight';
    end if;
  end if;
  if cardinality(array_remove(p_business, null)) > 0 then
    if p_key is not null and exists (
      select from orchestrator.idempotency_records r where r.scope = p_scope and r.key = p_key)
    then
      return 'seen';
    end if;
    if exists (
      select from unnest(p_workflow, p_business) as a(workflow, business)
        join orchestrator.workflows w on w.id = a.workflow
        join orchestrator.instances i
          on i.namespace = w.namespace and i.business_id = a.business)
    then
      return 'taken';
    end if;
  end if;
  if p_key is not null then
    insert into orchestrator.idempotency_records (scope, key, digest, status, headers, body)
    values (p_scope, p_key, p_digest, p_status, p_headers, p_body)
    on conflict do nothing;
    if not found then
      return 'seen';
    end if;
  end if;
  insert into orchestrator.instances (
    id, namespace, workflow_id, workflow, version, business_id, input, labels, created_at,
    engine, heard_from)
  select a.id, w.namespace, w.id, w.name, w.version, a.business, a.input, a.labels, p_at,
         p_engine, coalesce(pg_sequence_last_value('orchestrator.events_receipt_number_seq'), 0)
    from unnest(p_id, p_workflow, p_business, p_input, p_labels)
         as a(id, workflow, business, input, labels)
    join orchestrator.workflows w on w.id = a.workflow;
  insert into orchestrator.stimuli (instance_id, kind, data)
  select a.id, 'start', p_data from unnest(p_id, p_due) as a(id, due) where a.due is null;
  if cardinality(array_remove(p_due, null)) > 0 then
    insert into orchestrator.timers (instance_id, step, kind, due_at)
    select a.id, 0, 'start', a.due from unnest(p_id, p_due) as a(id, due)
     where a.due is not null;
  end if;
  return 'started';
end
$$;
