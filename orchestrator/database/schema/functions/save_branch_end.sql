-- Save the most frequent transition of a fork: a branch's call completes while others are open,
-- and the fork counts it. Columns that it does not set stay as they are; the caller proves that
-- nothing else changed. Errors are those of `save_transition`.
create or replace function orchestrator.save_branch_end(
  p_instance uuid, p_expected int, p_at timestamptz, p_seed bigint, p_stimulus json, p_facts json,
  p_last_number int, p_open_places int, p_attempt uuid, p_token text,
  -- the step that completes
  changed_id int, changed_completion_number int, changed_compensated_by text, changed_output json,
  -- the step that it is a branch of
  fork_id int, fork_open_children int
) returns void
language plpgsql set enable_seqscan = off as $$
begin
  update orchestrator.instances
     set sequence = p_expected + 1, last_number = p_last_number, open_places = p_open_places
   where id = p_instance and sequence = p_expected;
  if not found then
    raise exception 'instance % has moved on from %', p_instance, p_expected
      using errcode = 'OR001';
  end if;
  update orchestrator.attempts set state = 'succeeded', ended_at = clock_timestamp()
   where id = p_attempt and state = 'claimed' and token = p_token;
  if not found then
    raise exception 'attempt % is not the caller''s', p_attempt using errcode = 'OR002';
  end if;
  insert into orchestrator.history (instance_id, sequence, at, seed, stimulus, facts)
  values (p_instance, p_expected + 1, p_at, p_seed, p_stimulus, p_facts);
  update orchestrator.steps
     set status = 'completed', completion_number = changed_completion_number,
         compensated_by = changed_compensated_by, ended_at = p_at, output = changed_output
   where instance_id = p_instance and id = changed_id;
  update orchestrator.steps set open_children = fork_open_children
   where instance_id = p_instance and id = fork_id;
end
$$;
