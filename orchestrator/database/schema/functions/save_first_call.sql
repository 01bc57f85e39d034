-- Save the most frequent first transition: an instance starts, and with it one call. Columns that
-- it does not set keep the insert's defaults; the caller proves that nothing else changed. Errors
-- are those of `save_transition`.
create or replace function orchestrator.save_first_call(
  p_instance uuid, p_expected int, p_at timestamptz, p_seed bigint, p_stimulus json, p_facts json,
  p_last_number int, p_stimulus_id bigint,
  -- the step that starts
  created_id int, created_parent int, created_index int, created_reference text,
  created_compensated_by text, created_input json, created_raw_input json, created_call json,
  -- its attempt, claimed at once where the caller names its worker
  attempt_id uuid, attempt_task text, attempt_queue text, attempt_priority smallint,
  attempt_time_limit float8,
  claim_worker uuid, claim_process int, claim_token text
) returns void
language plpgsql set enable_seqscan = off as $$
declare
  claimed boolean := claim_worker is not null;
begin
  update orchestrator.instances
     set sequence = p_expected + 1, last_number = p_last_number, status = 'running',
         open_places = 1, started_at = p_at
   where id = p_instance and sequence = p_expected;
  if not found then
    raise exception 'instance % has moved on from %', p_instance, p_expected
      using errcode = 'OR001';
  end if;
  delete from orchestrator.stimuli where id = p_stimulus_id;
  if not found then
    raise exception 'stimulus % was consumed', p_stimulus_id using errcode = 'OR001';
  end if;
  insert into orchestrator.history (instance_id, sequence, at, seed, stimulus, facts)
  values (p_instance, p_expected + 1, p_at, p_seed, p_stimulus, p_facts);
  insert into orchestrator.steps (
    instance_id, id, parent, index, reference, kind, status, compensated_by, started_at, input,
    raw_input, call)
  values (p_instance, created_id, created_parent, created_index, created_reference, 'call',
          'running', created_compensated_by, p_at, created_input, created_raw_input, created_call);
  insert into orchestrator.attempts (
    instance_id, id, step, number, starts, task, queue, priority, time_limit, state,
    published_at, publish_count, claimed_at, worker, process, token)
  values (p_instance, attempt_id, created_id, 1, 1, attempt_task, attempt_queue, attempt_priority,
          attempt_time_limit, case when claimed then 'claimed' else 'ready' end,
          case when not claimed then clock_timestamp() end,
          case when not claimed then 1 else 0 end, case when claimed then clock_timestamp() end,
          claim_worker, claim_process, claim_token);
end
$$;
