-- Save one transition, whole or not at all. OR001: the instance has moved on since its slice was
-- read. OR002: the attempt is not the caller's any more.
-- Payloads travel as json arrays of their own: json inside json would be unescaped on its
-- way out, and \u0000 refused.
create or replace function orchestrator.save_transition(
  p_instance uuid, p_expected int, p_at timestamptz, p_seed bigint, p_stimulus json, p_facts json,
  p_taken bigint, p_fence uuid, p_token text,
  i_status text, i_compensation text, i_run int, i_counter int, i_open int,
  i_started timestamptz, i_ended timestamptz, i_error json, i_state json,
  i_set_context boolean, i_context json, i_set_output boolean, i_output json,
  -- attempts that end
  e_id uuid[], e_state text[], e_error json[], e_traceback text[],
  -- steps that change
  c_id int[], c_status text[], c_open int[], c_done int[], c_undo text[], c_unknown boolean[],
  c_ended timestamptz[], c_output json[], c_state json[], c_scope json[], c_call json[],
  c_error json[],
  -- steps that are new
  n_id int[], n_parent int[], n_open int[], n_index int[], n_done int[], n_undoes int[],
  n_unknown boolean[], n_ref text[], n_kind text[], n_status text[], n_undo text[],
  n_started timestamptz[], n_ended timestamptz[], n_input json[], n_raw json[], n_output json[],
  n_state json[], n_scope json[], n_call json[], n_error json[],
  -- attempts that are new; the one named `t_id` is claimed at once
  a_id uuid[], a_step int[], a_number int[], a_starts int[], a_task text[],
  a_queue text[], a_priority smallint[], a_limit float8[], a_published boolean[],
  t_id uuid, t_worker uuid, t_process int, t_token text
) returns void
language plpgsql set enable_seqscan = off as $$
begin
  update orchestrator.instances
     set sequence = p_expected + 1, status = i_status, compensation = i_compensation,
         run = i_run, counter = i_counter, open = i_open, started_at = i_started,
         ended_at = i_ended, error = i_error, state = i_state,
         context = case when i_set_context then i_context else context end,
         output = case when i_set_output then i_output else output end
   where id = p_instance and sequence = p_expected;
  if not found then
    raise exception 'instance % has moved on from %', p_instance, p_expected
      using errcode = 'OR001';
  end if;
  if p_taken is not null then
    delete from orchestrator.stimuli where id = p_taken;
    if not found then
      raise exception 'stimulus % was taken', p_taken using errcode = 'OR001';
    end if;
  end if;
  if p_fence is not null then
    perform 1 from orchestrator.attempts
      where id = p_fence and state = 'claimed' and token = p_token for update;
    if not found then
      raise exception 'attempt % is not the caller''s', p_fence using errcode = 'OR002';
    end if;
  end if;
  insert into orchestrator.history (instance_id, sequence, at, seed, stimulus, facts)
  values (p_instance, p_expected + 1, p_at, p_seed, p_stimulus, p_facts);
  -- Row by row: a join with the arrays could be planned as a scan of the whole instance.
  for k in 1 .. coalesce(cardinality(e_id), 0) loop
    update orchestrator.attempts
       set state = e_state[k], error = e_error[k], traceback = e_traceback[k],
           ended_at = clock_timestamp()
     where id = e_id[k] and state in ('ready', 'claimed');
  end loop;
  for k in 1 .. coalesce(cardinality(c_id), 0) loop
    update orchestrator.steps
       set status = c_status[k], open = c_open[k], done = c_done[k], undo = c_undo[k],
           unknown = c_unknown[k], ended_at = c_ended[k], output = c_output[k],
           state = c_state[k], scope = c_scope[k], call = c_call[k], error = c_error[k]
     where instance_id = p_instance and id = c_id[k];
  end loop;
  if n_id is not null then
    insert into orchestrator.steps (
      instance_id, id, parent, open, index, done, undoes, unknown, ref, kind, status, undo,
      started_at, ended_at, input, raw_input, output, state, scope, call, error)
    select p_instance, n.* from unnest(
      n_id, n_parent, n_open, n_index, n_done, n_undoes, n_unknown, n_ref, n_kind, n_status,
      n_undo, n_started, n_ended, n_input, n_raw, n_output, n_state, n_scope, n_call,
      n_error) n;
  end if;
  if a_id is not null then
    insert into orchestrator.attempts (
      instance_id, id, step, number, starts, task, queue, priority, time_limit, state,
      published_at, publishings, claimed_at, worker, process, token)
    select p_instance, n.id, n.step, n.number, n.starts, n.task, n.queue, n.priority, n.lim,
           case when n.id = t_id then 'claimed' else 'ready' end,
           case when n.published then clock_timestamp() end,
           case when n.published then 1 else 0 end,
           case when n.id = t_id then clock_timestamp() end,
           case when n.id = t_id then t_worker end,
           case when n.id = t_id then t_process end,
           case when n.id = t_id then t_token end
      from unnest(a_id, a_step, a_number, a_starts, a_task, a_queue, a_priority, a_limit,
                  a_published)
           as n(id, step, number, starts, task, queue, priority, lim, published);
  end if;
end
$$;
