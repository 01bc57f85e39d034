-- Save the most frequent last transition: a call completes, and with it the instance. Columns that
-- it does not set stay as they are; the caller proves that nothing else changed. Errors are those
-- of `save_transition`.
create or replace function orchestrator.save_last_call(
  p_instance uuid, p_expected int, p_at timestamptz, p_seed bigint, p_stimulus json, p_facts json,
  p_counter int, p_output json, p_fence uuid, p_token text,
  -- the step that completes
  c_id int, c_done int, c_undo text, c_output json
) returns void
language plpgsql set enable_seqscan = off as $$
begin
  update orchestrator.instances
     set sequence = p_expected + 1, counter = p_counter, status = 'completed', open = 0,
         output = p_output, ended_at = p_at
   where id = p_instance and sequence = p_expected;
  if not found then
    raise exception 'instance % has moved on from %', p_instance, p_expected
      using errcode = 'OR001';
  end if;
  update orchestrator.attempts set state = 'succeeded', ended_at = clock_timestamp()
   where id = p_fence and state = 'claimed' and token = p_token;
  if not found then
    raise exception 'attempt % is not the caller''s', p_fence using errcode = 'OR002';
  end if;
  insert into orchestrator.history (instance_id, sequence, at, seed, stimulus, facts)
  values (p_instance, p_expected + 1, p_at, p_seed, p_stimulus, p_facts);
  update orchestrator.steps
     set status = 'completed', done = c_done, undo = c_undo, ended_at = p_at, output = c_output
   where instance_id = p_instance and id = c_id;
end
$$;
