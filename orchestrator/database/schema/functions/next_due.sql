-- Return when the next timer or schedule is due; null: none is. A start in the outbox is due at
-- once.
create or replace function orchestrator.next_due() returns timestamptz
language plpgsql stable set enable_seqscan = off as $$
begin
  return least(
    (select s.created_at from orchestrator_outbox.starts s order by s.id limit 1),
    (select min(due_at) from orchestrator.timers),
    (select min(next_fire_at) from orchestrator.schedules
      where state = 'active' and next_fire_at is not null));
end
$$;
