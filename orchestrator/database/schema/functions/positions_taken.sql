-- Return the last position of the feeds across instances that was assigned, and the transactions
-- that took a position and have not ended. Postgres locks a sequence for a transaction before it
-- assigns a value, until the transaction ends. The value is read first: so each transaction with
-- a position up to it is among the holders, or has ended. A prepared transaction has no session;
-- all prepared ones are one holder.
create or replace function orchestrator.positions_taken(out last bigint, out holders text[])
language plpgsql set enable_seqscan = off as $$
begin
  select case when p.is_called then p.last_value else p.last_value - 1 end into last
    from orchestrator.positions p;
  select coalesce(array_agg(
           case when l.pid is null then 'prepared' else l.virtualtransaction end), '{}')
    into holders
    from pg_catalog.pg_locks l
   where l.locktype = 'relation' and l.mode = 'RowExclusiveLock' and l.granted
     and l.relation = 'orchestrator.positions'::regclass
     and l.database = (select d.oid from pg_catalog.pg_database d
                        where d.datname = current_database());
end
$$;
