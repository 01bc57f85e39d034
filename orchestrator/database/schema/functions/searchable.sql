-- A payload to be searched: as jsonb, or null where it can't be (\u0000, a number beyond
-- numeric), so that a filter, and an index, pass over it rather than fail; and where it is
-- larger than 64 kB, since every transition that changes a status pays for its index. Its cost
-- tells the planner to look into that index rather than to parse payloads row by row.
create or replace function orchestrator.searchable(payload json) returns jsonb
language plpgsql immutable strict parallel safe cost 10000 as $$
begin
  if octet_length(payload::text) > 65536 then
    return null;
  end if;
  return payload::jsonb;
exception when data_exception or program_limit_exceeded then
  return null;
end
$$;
