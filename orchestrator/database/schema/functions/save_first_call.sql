-- Save the most frequent first transition: an instance starts, and with it one call. Columns that
-- it does not set keep the insert's defaults; the caller proves that nothing else changed. Errors
-- are those of `save_transition`.
create or replace function orchestrator.save_first_call(
  p_instance uuid, p_expected int, p_at timestamptz, p_seed bigint, p_stimulus json, p_facts json,
  p_counter int, p_taken bigint,
  -- the step that starts
  n_id int, n_parent int, n_index int, n_ref text, n_undo text, n_input json, n_raw json,
  n_call json,
  -- its attempt, claimed at once where the caller names its worker
  a_id uuid, a_task text, a_queue text, a_priority smallint, a_limit float8,
  t_worker uuid, t_process int, t_token text
) returns void
language plpgsql set enable_seqscan = off as $$
declare
  taken boolean := t_worker is not null;
begin
  update orchestrator.instances
     set sequence = p_expected + 1, counter = p_counter, status = 'running', open = 1,
         started_at = p_at
   where id = p_instance and sequence = p_expected;
  if not found then
    raise exception 'instance % has moved on from %', p_instance, p_expected
      using errcode = 'OR001';
  end if;
  delete from orchestrator.stimuli where id = p_taken;
  if not found then
    raise exception 'stimulus % was taken', p_taken using errcode = 'OR001';
  end if;
  insert into orchestrator.history (instance_id, sequence, at, seed, stimulus, facts)
  values (p_instance, p_expected + 1, p_at, p_seed, p_stimulus, p_facts);
  insert into orchestrator.steps (
    instance_id, id, parent, index, ref, kind, status, undo, started_at, input, raw_input, call)
  values (p_instance, n_id, n_parent, n_index, n_ref, 'call', 'running', n_undo, p_at, n_input,
          n_raw, n_call);
  insert into orchestrator.attempts (
    instance_id, id, step, number, starts, task, queue, priority, time_limit, state,
    published_at, publishings, claimed_at, worker, process, token)
  values (p_instance, a_id, n_id, 1, 1, a_task, a_queue, a_priority, a_limit,
          case when taken then 'claimed' else 'ready' end,
          case when not taken then clock_timestamp() end,
          case when not taken then 1 else 0 end,
          case when taken then clock_timestamp() end, t_worker, t_process, t_token);
end
$$;
