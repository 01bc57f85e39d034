-- Whether there is nothing that a beat would have to look after but timers, schedules, what it
-- tells of and what it forgets. It asks again and again, so it asks one function, whose plans are
-- kept.
create function orchestrator.at_rest() returns boolean
language plpgsql stable set enable_seqscan = off as $$
begin
  return not (
    exists (select from orchestrator.attempts where state = 'claimed')
    or exists (select from orchestrator.attempts where state = 'ready')
    or exists (select from orchestrator.stimuli)
    or exists (select from orchestrator.events where matched_at is null)
    or exists (select from orchestrator.listeners where asks > looks)
    or exists (select from orchestrator.schedules where waiting and state = 'active')
    or exists (select from orchestrator.operations where state in ('pending', 'running')));
end
$$;
