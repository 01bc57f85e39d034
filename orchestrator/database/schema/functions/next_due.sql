-- Return when the next timer or schedule is due; null: none is.
create or replace function orchestrator.next_due() returns timestamptz
language plpgsql stable set enable_seqscan = off as $$
begin
  return least(
    (select min(due_at) from orchestrator.timers),
    (select min(next_fire_at) from orchestrator.schedules
      where state = 'active' and next_fire_at is not null));
end
$$;
