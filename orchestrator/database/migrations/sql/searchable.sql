-- A payload to be searched: as jsonb, or null where it can't be (\u0000, a number beyond
-- numeric), so that a filter, and an index, pass over it rather than fail.
create or replace function orchestrator.searchable(payload json) returns jsonb
language plpgsql immutable strict as $$
begin
  return payload::jsonb;
exception when data_exception or program_limit_exceeded then
  return null;
end
$$;
