-- Return whether a beat has nothing to look after except timers, schedules, feeds and purges. The
-- beat polls this, so it is a function: its plans are kept.
create or replace function orchestrator.is_idle() returns boolean
language plpgsql stable set enable_seqscan = off as $$
begin
  return not (
    exists (select from orchestrator.attempts where state = 'claimed')
    or exists (select from orchestrator.attempts where state = 'ready')
    or exists (select from orchestrator.stimuli)
    or exists (select from orchestrator.events where matched_at is null)
    or exists (select from orchestrator.listeners where lookback_requests > lookbacks_done)
    or exists (select from orchestrator.schedules where waits_for_end and state = 'active')
    or exists (select from orchestrator.bulk_operations where state in ('pending', 'running')));
end
$$;
