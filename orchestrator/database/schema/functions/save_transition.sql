-- Save one transition, whole or not at all. OR001: the instance has moved on since its slice was
-- read. OR002: the attempt is not the caller's any more.
-- Payloads travel as json arrays of their own: json inside json would be unescaped on its
-- way out, and \u0000 refused.
create or replace function orchestrator.save_transition(
  p_instance uuid, p_expected int, p_at timestamptz, p_seed bigint, p_stimulus json, p_facts json,
  p_stimulus_id bigint, p_attempt uuid, p_token text,
  instance_status text, instance_compensation text, instance_run int, instance_last_number int,
  instance_open_places int, instance_started_at timestamptz, instance_ended_at timestamptz,
  instance_error json, instance_state json, instance_set_context boolean, instance_context json,
  instance_set_output boolean, instance_output json,
  -- attempts that end
  ended_id uuid[], ended_state text[], ended_error json[], ended_traceback text[],
  -- steps that change
  changed_id int[], changed_status text[], changed_open_children int[],
  changed_completion_number int[], changed_compensated_by text[],
  changed_outcome_unknown boolean[], changed_ended_at timestamptz[], changed_output json[],
  changed_state json[], changed_scope json[], changed_call json[], changed_error json[],
  -- steps that are new
  created_id int[], created_parent int[], created_open_children int[], created_index int[],
  created_completion_number int[], created_compensates int[], created_outcome_unknown boolean[],
  created_reference text[], created_kind text[], created_status text[],
  created_compensated_by text[], created_started_at timestamptz[], created_ended_at timestamptz[],
  created_input json[], created_raw_input json[], created_output json[], created_state json[],
  created_scope json[], created_call json[], created_error json[],
  -- attempts that are new; the one named `claim_id` is claimed at once
  attempt_id uuid[], attempt_step int[], attempt_number int[], attempt_starts int[],
  attempt_task text[], attempt_queue text[], attempt_priority smallint[],
  attempt_time_limit float8[], attempt_published boolean[],
  claim_id uuid, claim_worker uuid, claim_process int, claim_token text
) returns void
language plpgsql set enable_seqscan = off as $$
begin
  update orchestrator.instances
     set sequence = p_expected + 1, status = instance_status, compensation = instance_compensation,
         run = instance_run, last_number = instance_last_number,
         open_places = instance_open_places, started_at = instance_started_at,
         ended_at = instance_ended_at, error = instance_error, state = instance_state,
         context = case when instance_set_context then instance_context else context end,
         output = case when instance_set_output then instance_output else output end
   where id = p_instance and sequence = p_expected;
  if not found then
    raise exception 'instance % has moved on from %', p_instance, p_expected
      using errcode = 'OR001';
  end if;
  if p_stimulus_id is not null then
    delete from orchestrator.stimuli where id = p_stimulus_id;
    if not found then
      raise exception 'stimulus % was consumed', p_stimulus_id using errcode = 'OR001';
    end if;
  end if;
  if p_attempt is not null then
    perform 1 from orchestrator.attempts
      where id = p_attempt and state = 'claimed' and token = p_token for update;
    if not found then
      raise exception 'attempt % is not the caller''s', p_attempt using errcode = 'OR002';
    end if;
  end if;
  insert into orchestrator.history (instance_id, sequence, at, seed, stimulus, facts)
  values (p_instance, p_expected + 1, p_at, p_seed, p_stimulus, p_facts);
  -- Row by row: a join with the arrays could be planned as a scan of the whole instance.
  for k in 1 .. coalesce(cardinality(ended_id), 0) loop
    update orchestrator.attempts
       set state = ended_state[k], error = ended_error[k], traceback = ended_traceback[k],
           ended_at = clock_timestamp()
     where id = ended_id[k] and state in ('ready', 'claimed');
  end loop;
  for k in 1 .. coalesce(cardinality(changed_id), 0) loop
    update orchestrator.steps
       set status = changed_status[k], open_children = changed_open_children[k],
           completion_number = changed_completion_number[k],
           compensated_by = changed_compensated_by[k],
           outcome_unknown = changed_outcome_unknown[k], ended_at = changed_ended_at[k],
           output = changed_output[k], state = changed_state[k], scope = changed_scope[k],
           call = changed_call[k], error = changed_error[k]
     where instance_id = p_instance and id = changed_id[k];
  end loop;
  if created_id is not null then
    insert into orchestrator.steps (
      instance_id, id, parent, open_children, index, completion_number, compensates,
      outcome_unknown, reference, kind, status, compensated_by, started_at, ended_at, input,
      raw_input, output, state, scope, call, error)
    select p_instance, n.* from unnest(
      created_id, created_parent, created_open_children, created_index, created_completion_number,
      created_compensates, created_outcome_unknown, created_reference, created_kind,
      created_status, created_compensated_by, created_started_at, created_ended_at, created_input,
      created_raw_input, created_output, created_state, created_scope, created_call,
      created_error) n;
  end if;
  if attempt_id is not null then
    insert into orchestrator.attempts (
      instance_id, id, step, number, starts, task, queue, priority, time_limit, state,
      published_at, publish_count, claimed_at, worker, process, token)
    select p_instance, n.id, n.step, n.number, n.starts, n.task, n.queue, n.priority, n.lim,
           case when n.id = claim_id then 'claimed' else 'ready' end,
           case when n.published then clock_timestamp() end,
           case when n.published then 1 else 0 end,
           case when n.id = claim_id then clock_timestamp() end,
           case when n.id = claim_id then claim_worker end,
           case when n.id = claim_id then claim_process end,
           case when n.id = claim_id then claim_token end
      from unnest(attempt_id, attempt_step, attempt_number, attempt_starts, attempt_task,
                  attempt_queue, attempt_priority, attempt_time_limit, attempt_published)
           as n(id, step, number, starts, task, queue, priority, lim, published);
  end if;
end
$$;
