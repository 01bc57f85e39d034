-- Submit a start in the caller's own transaction, and return the id of the instance-to-be. The row
-- does nothing until it has committed; then a beat checks the request and starts the instance, or
-- makes a dead letter of it. So the caller's transaction waits for no lock of ours and holds none,
-- and a mistake in the request cannot fail it. `p_request` is the body of `POST /v1/instances`; it is
-- stored unread: Postgres reads no member of a value with a NUL in it.
--
-- It runs as its owner. The login (`session_user`, which SET ROLE leaves as it is) decides the
-- namespace. The id is made here: an id chosen by the caller could take another start's place.
create or replace function orchestrator_outbox.submit(p_request json) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
  -- Bytes of the largest request: the largest value of the setting max_payload, and its envelope.
  -- Whoever moves the row applies the setting's own value.
  max_bytes constant integer := (64 << 20) + (64 << 10);
  m record;
  new_id uuid;
begin
  select l.namespace, l.max_rows into m
    from orchestrator_outbox.logins l where l.login = session_user;
  if not found then
    raise exception 'the login % may not start workflows from a transaction', session_user
      using errcode = 'insufficient_privilege',
            hint = 'Run: orchestrator db grants ' || quote_ident(session_user)
                   || ' --namespace NAMESPACE';
  end if;
  if p_request is null then
    raise exception 'the request is null' using errcode = 'null_value_not_allowed';
  end if;
  if octet_length(p_request::text) > max_bytes then
    raise exception 'the request has % bytes, and at most % are allowed',
      octet_length(p_request::text), max_bytes using errcode = 'program_limit_exceeded';
  end if;
  -- Counting reads as many index entries as there are rows, so only about 64 of `max_rows` calls
  -- count: the bound is exceeded by a few percent, and a call reads 64 entries on average.
  if random() * m.max_rows < 64 and exists (
    select from orchestrator_outbox.starts s where s.namespace = m.namespace offset m.max_rows)
  then
    raise exception 'more than % starts of the namespace % wait in the outbox', m.max_rows, m.namespace
      using errcode = 'configuration_limit_exceeded',
            hint = 'Starts leave it within a second while a beat runs: see orchestrator doctor.';
  end if;
  -- A UUID of version 7: the time in milliseconds in place of the first 48 random bits, and the
  -- version 4 of gen_random_uuid turned into 7.
  new_id := encode(set_bit(set_bit(overlay(
    uuid_send(gen_random_uuid())
    placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
    from 1 for 6), 52, 1), 53, 1), 'hex')::uuid;
  insert into orchestrator_outbox.starts (id, namespace, login, request, heard_from)
  values (new_id, m.namespace, session_user, p_request,
          coalesce(pg_sequence_last_value('orchestrator.events_receipt_number_seq'), 0));
  return new_id;
end
$$;
revoke all on function orchestrator_outbox.submit(json) from public;
