-- Schema 0001. What each table and column means: docs/data_model.md.
-- What the indexes serve and cost: docs/implementation/database_optimization.md.

-- The positions of rows in the feeds across instances: `history` and `events` share them.
create sequence orchestrator.positions;

-- Return a payload as jsonb so that it can be searched, or null where that is impossible: it has
-- \u0000 or a number beyond numeric, or is larger than 64 kB. A filter and the index then pass
-- over the row instead of failing. The bound limits what each change of a status costs. The
-- declared cost makes the planner use the index instead of parsing payloads row by row.
-- An index is built on this function: never replace it; new behaviour is a new function and index.
create function orchestrator.searchable_json(payload json) returns jsonb
language plpgsql immutable strict parallel safe cost 10000 set enable_seqscan = off as $$
begin
  if octet_length(payload::text) > 65536 then
    return null;
  end if;
  return payload::jsonb;
exception when data_exception or program_limit_exceeded then
  return null;
end
$$;

-- The type of an error, for an index: null where it has none, and never an exception, since a fault
-- must be saved. The bound keeps it within an index's row.
-- An index is built on this function: never replace it; new behaviour is a new function and index.
create function orchestrator.error_type(error json) returns text
language plpgsql immutable strict parallel safe set enable_seqscan = off as $$
begin
  return left(replace(error::text, '\u0000', '\u2400')::json ->> 'type', 500);
exception when data_exception or program_limit_exceeded then
  return null;
end
$$;

create table orchestrator.workflows (
  id uuid not null,
  namespace text not null,
  name text not null,
  version text not null,
  version_key text collate "C" not null,
  digest text not null,
  document json not null,
  source text not null,
  media_type text not null,
  warnings json,
  created_at timestamptz not null default clock_timestamp(),
  generated boolean not null default false,
  last_deployed_at timestamptz not null default clock_timestamp(),
  retired_at timestamptz,
  constraint workflows_pk primary key (id),
  constraint workflows_namespace_name_version_uq unique (namespace, name, version)
);

create index workflows_generated_ix on orchestrator.workflows (last_deployed_at) where generated;

create table orchestrator.instances (
  id uuid not null,
  namespace text not null,
  workflow_id uuid not null,
  workflow text not null,
  version text not null,
  business_id text,
  status text not null default 'pending',
  compensation text not null default 'none',
  run integer not null default 1,
  sequence integer not null default 0,
  last_number integer not null default 0,
  open_places integer not null default 0,
  input json,
  output json,
  error json,
  context json,
  state json,
  labels jsonb,
  parent_instance uuid,
  parent_step integer,
  engine smallint not null default '1',
  created_at timestamptz not null default clock_timestamp(),
  started_at timestamptz,
  ended_at timestamptz,
  heard_from bigint,
  constraint instances_pk primary key (id)
) with (fillfactor = 70);
create unique index instances_business_id_uq
  on orchestrator.instances (namespace, business_id text_pattern_ops)
  where business_id is not null;
create index instances_compensating_ix
  on orchestrator.instances (namespace, workflow)
  where compensation = 'running';
create index instances_compensation_ix
  on orchestrator.instances (namespace, compensation, created_at, id)
  where compensation <> 'none';
create index instances_error_ix
  on orchestrator.instances (namespace, orchestrator.error_type(error), created_at, id)
  where error is not null;
-- Not partial: the planner takes no statistics of an expression from a partial index.
-- The short pending list bounds what one insert may pay for sorting in the others' entries.
create index instances_input_ix
  on orchestrator.instances using gin (orchestrator.searchable_json(input) jsonb_path_ops)
  with (gin_pending_list_limit = 512);
create index instances_labels_ix
  on orchestrator.instances using gin (labels jsonb_path_ops)
  with (gin_pending_list_limit = 512)
  where labels is not null;
create index instances_late_ix
  on orchestrator.instances (namespace, created_at, id)
  where started_at - created_at > interval '1 minute';
create index instances_namespace_created_at_id_ix
  on orchestrator.instances (namespace, created_at, id);
create index instances_open_ix
  on orchestrator.instances (namespace, workflow, status)
  where status in ('pending', 'running', 'waiting', 'suspended');
create index instances_parent_ix
  on orchestrator.instances (parent_instance)
  where parent_instance is not null;
create index instances_started_ix
  on orchestrator.instances (namespace, status, started_at, id)
  where started_at is not null;
create index instances_status_ix
  on orchestrator.instances (namespace, status, created_at, id);
create index instances_workflow_ix
  on orchestrator.instances (namespace, workflow, version, status, created_at, id);
-- Filters look for values that few rows have: the planner must know how few.
alter table orchestrator.instances alter column namespace set statistics 500;
alter table orchestrator.instances alter column workflow set statistics 500;
alter table orchestrator.instances alter column version set statistics 500;
alter table orchestrator.instances alter column status set statistics 500;
alter table orchestrator.instances alter column labels set statistics 500;
alter index orchestrator.instances_input_ix alter column 1 set statistics 500;

create table orchestrator.steps (
  instance_id uuid not null,
  id integer not null,
  parent integer not null,
  open_children integer not null default 0,
  index integer,
  completion_number integer,
  compensates integer,
  outcome_unknown boolean not null default false,
  reference text not null,
  kind text not null,
  status text not null,
  compensated_by text,
  started_at timestamptz,
  ended_at timestamptz,
  input json,
  raw_input json,
  output json,
  state json,
  scope json,
  call json,
  error json,
  undoable integer generated always as (
    case when compensated_by is not null then completion_number end) stored,
  constraint steps_pk primary key (instance_id, id)
) with (fillfactor = 80);
create index steps_compensates_ix
  on orchestrator.steps (instance_id, compensates)
  where compensates is not null;
create index steps_unknown_ix
  on orchestrator.steps (instance_id)
  where outcome_unknown;
create index steps_undoable_ix
  on orchestrator.steps (instance_id, undoable)
  where undoable is not null;

create table orchestrator.attempts (
  id uuid not null,
  instance_id uuid not null,
  step integer not null,
  number integer not null,
  starts integer not null,
  priority smallint,
  state text not null default 'ready',
  withdrawn boolean not null default false,
  task text not null,
  queue text not null,
  time_limit double precision,
  created_at timestamptz not null default clock_timestamp(),
  published_at timestamptz,
  publish_count smallint not null default '0',
  claimed_at timestamptz,
  ended_at timestamptz,
  worker uuid,
  process integer,
  token text,
  progress json,
  error json,
  traceback text,
  refused_at timestamptz,
  late_at timestamptz,
  late_state text,
  constraint attempts_pk primary key (id)
) with (fillfactor = 80);
create index attempts_claimed_at_ix
  on orchestrator.attempts using brin (claimed_at);
create index attempts_claimed_ix
  on orchestrator.attempts (worker, process)
  where state = 'claimed';
create index attempts_instance_id_step_ix
  on orchestrator.attempts (instance_id, step);
create index attempts_published_ix
  on orchestrator.attempts (instance_id)
  where state = 'ready' and published_at is not null;
create index attempts_ready_ix
  on orchestrator.attempts (instance_id, id)
  where state = 'ready';
create index attempts_refused_ix
  on orchestrator.attempts (refused_at)
  where state = 'ready' and refused_at is not null;
create index attempts_waiting_ix
  on orchestrator.attempts (published_at nulls first)
  where state = 'ready';

create table orchestrator.stimuli (
  id bigserial,
  instance_id uuid not null,
  kind text not null,
  step integer,
  attempt uuid,
  data json,
  key text,
  created_at timestamptz not null default clock_timestamp(),
  hinted_at timestamptz,
  deferred boolean not null default false,
  begun integer not null default 0,
  constraint stimuli_pk primary key (id)
);
create index stimuli_instance_id_id_ix
  on orchestrator.stimuli (instance_id, id);
create unique index stimuli_key_uq
  on orchestrator.stimuli (instance_id, key)
  where key is not null;

create table orchestrator.instance_trees (
  root_id uuid not null,
  started integer not null,
  since timestamptz not null,
  constraint instance_trees_pk primary key (root_id)
);

create unlogged table orchestrator.decision_leases (
  instance_id uuid not null,
  token text not null,
  worker uuid,
  process integer,
  expires_at timestamptz not null,
  constraint decision_leases_pk primary key (instance_id)
);

create table orchestrator.timers (
  instance_id uuid not null,
  step integer not null,
  kind text not null,
  due_at timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint timers_pk primary key (instance_id, step, kind)
);
create index timers_due_at_ix
  on orchestrator.timers (due_at);
create index timers_kind_ix
  on orchestrator.timers (kind, instance_id)
  where kind in ('wait', 'start', 'retry');

create table orchestrator.listeners (
  instance_id uuid not null,
  step integer not null,
  namespace text not null,
  mode text not null,
  filters json not null,
  until json,
  read text not null default 'data',
  correlation json,
  variables json,
  created_at timestamptz not null default clock_timestamp(),
  lookback_requests integer not null default 1,
  lookbacks_done integer not null default 0,
  offered_filters smallint[] not null default '{}',
  is_saturated boolean not null default false,
  heard_from bigint,
  look_back double precision,
  constraint listeners_pk primary key (instance_id, step)
);
create index listeners_list_ix
  on orchestrator.listeners (namespace, created_at, instance_id, step);
create index listeners_lookback_ix
  on orchestrator.listeners (namespace, instance_id)
  where lookback_requests > lookbacks_done;

create table orchestrator.event_filters (
  id uuid not null,
  namespace text not null,
  type text,
  lifecycle boolean not null,
  filter json not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint event_filters_pk primary key (id)
);
create index event_filters_namespace_type_ix
  on orchestrator.event_filters (namespace, type);

create table orchestrator.listener_index (
  instance_id uuid not null,
  step integer not null,
  is_until boolean not null,
  filter_index smallint not null,
  filter_id uuid not null,
  correlation_digest text not null default '',
  constraint listener_index_pk primary key (instance_id, step, is_until, filter_index)
);
create index listener_index_filter_id_correlation_digest_ix
  on orchestrator.listener_index (filter_id, correlation_digest);

create table orchestrator.event_offers (
  event bigint not null,
  instance_id uuid not null,
  step integer not null,
  refused boolean not null default false,
  created_at timestamptz not null default clock_timestamp(),
  constraint event_offers_pk primary key (event, instance_id, step)
);
create index event_offers_refused_ix
  on orchestrator.event_offers (instance_id, event)
  where refused;

create table orchestrator.history (
  instance_id uuid not null,
  sequence integer not null,
  at timestamptz not null,
  seed bigint not null,
  stimulus json not null,
  facts json not null,
  position bigint default nextval('orchestrator.positions'),
  constraint history_pk primary key (instance_id, sequence)
);
create index history_position_ix
  on orchestrator.history using brin (position)
  with (pages_per_range = 16, autosummarize = on);

create table orchestrator.events (
  id uuid not null,
  namespace text not null,
  event_id text not null,
  source text not null,
  type text not null,
  event json not null,
  instance_id uuid,
  created_at timestamptz not null default clock_timestamp(),
  position bigint default nextval('orchestrator.positions'),
  receipt_number bigint not null generated always as identity,
  target_instance uuid,
  consumed boolean not null default false,
  matched_at timestamptz,
  match_failures smallint not null default '0',
  constraint events_pk primary key (id),
  constraint events_namespace_source_event_id_uq unique (namespace, source, event_id),
  constraint events_receipt_number_uq unique (receipt_number)
);
create index events_list_ix
  on orchestrator.events (namespace, receipt_number);
create index events_mailbox_ix
  on orchestrator.events (target_instance, receipt_number)
  where target_instance is not null and not consumed;
create index events_namespace_created_at_receipt_number_ix
  on orchestrator.events (namespace, created_at, receipt_number);
create index events_target_ix
  on orchestrator.events (target_instance, receipt_number)
  where target_instance is not null;
create index events_position_ix
  on orchestrator.events using brin (position)
  with (pages_per_range = 16, autosummarize = on);
create index events_type_ix
  on orchestrator.events (namespace, type, receipt_number);
create index events_unmatched_ix
  on orchestrator.events (namespace, receipt_number)
  where matched_at is null;

create table orchestrator.event_groups (
  id uuid not null,
  schedule_id uuid not null,
  key text not null,
  event_numbers bigint[] not null,
  state json not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint event_groups_pk primary key (id)
);
create index event_groups_schedule_id_key_id_ix
  on orchestrator.event_groups (schedule_id, key, id);

create table orchestrator.subscriptions (
  id uuid not null,
  namespace text not null,
  description text,
  filter json not null,
  type text,
  lifecycle boolean not null,
  target json not null,
  secret text,
  state text not null default 'active',
  reason text,
  failures integer not null default 0,
  failing_since timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  changed_at timestamptz not null default clock_timestamp(),
  heard_from bigint,
  constraint subscriptions_pk primary key (id)
);
create index subscriptions_namespace_created_at_id_ix
  on orchestrator.subscriptions (namespace, created_at, id);

create table orchestrator.deliveries (
  id uuid not null,
  subscription_id uuid not null,
  event bigint not null,
  order_key uuid,
  state text not null default 'pending',
  attempts integer not null default 0,
  next_at timestamptz default clock_timestamp(),
  retry_until timestamptz not null,
  http_status smallint,
  error text,
  instance_id uuid,
  created_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  constraint deliveries_pk primary key (id),
  constraint deliveries_subscription_id_event_uq unique (subscription_id, event)
);
create index deliveries_due_ix
  on orchestrator.deliveries (next_at)
  where state = 'pending';
create index deliveries_order_ix
  on orchestrator.deliveries (subscription_id, order_key, event)
  where state = 'pending' and order_key is not null;
create index deliveries_state_ix
  on orchestrator.deliveries (subscription_id, state, created_at, id);
create index deliveries_subscription_id_created_at_id_ix
  on orchestrator.deliveries (subscription_id, created_at, id);

create table orchestrator.feed_positions (
  name text not null,
  position bigint not null,
  at timestamptz not null default clock_timestamp(),
  next_position bigint not null,
  next_at timestamptz not null default clock_timestamp(),
  constraint feed_positions_pk primary key (name)
);

create table orchestrator.item_chunks (
  instance_id uuid not null,
  step integer not null,
  index integer not null,
  items json not null,
  constraint item_chunks_pk primary key (instance_id, step, index)
);

create table orchestrator.dead_letters (
  id uuid not null,
  namespace text not null,
  instance_id uuid not null,
  step integer not null,
  reason text not null,
  error json,
  created_at timestamptz not null default clock_timestamp(),
  resolved_at timestamptz,
  resolution json,
  request json,
  login text,
  constraint dead_letters_pk primary key (id)
);
create index dead_letters_instance_ix
  on orchestrator.dead_letters (instance_id, step);
create index dead_letters_list_ix
  on orchestrator.dead_letters (namespace, created_at, id);
create index dead_letters_open_ix
  on orchestrator.dead_letters (namespace, created_at, id)
  where resolved_at is null;

create table orchestrator.idempotency_records (
  scope text not null,
  key text not null,
  digest text not null,
  status smallint not null,
  headers json,
  body json,
  created_at timestamptz not null default clock_timestamp(),
  constraint idempotency_records_pk primary key (scope, key)
);
create index idempotency_records_created_at_ix
  on orchestrator.idempotency_records (created_at);

create table orchestrator.workers (
  id uuid not null,
  name text not null,
  pid integer not null,
  pool text not null,
  concurrency integer not null,
  queues text[] not null,
  tasks text[] not null,
  heartbeat_count bigint not null default '0',
  in_flight uuid[] not null default '{}',
  free_slots integer not null default 0,
  received_at timestamptz,
  stopping boolean not null default false,
  started_at timestamptz not null default clock_timestamp(),
  last_heartbeat_at timestamptz not null default clock_timestamp(),
  stopped_at timestamptz,
  counters json not null default '{}',
  app text,
  broker text,
  clock_offset double precision,
  refused_queues json not null default '{}',
  constraint workers_pk primary key (id)
) with (fillfactor = 50);

create table orchestrator.task_routes (
  task text not null,
  queue text not null,
  warning text,
  announced_at timestamptz not null default clock_timestamp(),
  constraint task_routes_pk primary key (task, queue)
);

create table orchestrator.broker_options (
  options text not null,
  announced_at timestamptz not null default clock_timestamp(),
  constraint broker_options_pk primary key (options)
);

create table orchestrator.processes (
  id uuid not null,
  kind text not null,
  name text not null,
  pid integer not null,
  broker text,
  clock_offset double precision,
  started_at timestamptz not null default clock_timestamp(),
  seen_at timestamptz not null default clock_timestamp(),
  constraint processes_pk primary key (id)
);

create table orchestrator.api_keys (
  id uuid not null,
  prefix text not null,
  hash bytea not null,
  name text not null,
  role text not null,
  namespaces text[] not null,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz,
  constraint api_keys_pk primary key (id),
  constraint api_keys_prefix_uq unique (prefix)
);

create table orchestrator.sessions (
  hash bytea not null,
  id uuid not null,
  key_id uuid,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  address text,
  issuer text,
  subject text,
  name text,
  groups text[],
  constraint sessions_pk primary key (hash),
  constraint sessions_id_uq unique (id)
);
create index sessions_expires_at_ix
  on orchestrator.sessions (expires_at);

create table orchestrator.secrets (
  namespace text not null,
  name text not null,
  ciphertext text not null,
  created_at timestamptz not null default clock_timestamp(),
  changed_at timestamptz not null default clock_timestamp(),
  constraint secrets_pk primary key (namespace, name)
);

create table orchestrator.bulk_operations (
  id uuid not null,
  namespaces text[],
  action text not null,
  filter json not null,
  selection json not null,
  reason text,
  actor text not null,
  address text,
  state text not null default 'pending',
  matches integer not null,
  reached integer not null default 0,
  cursor json,
  error text,
  created_at timestamptz not null default clock_timestamp(),
  started_at timestamptz,
  ended_at timestamptz,
  constraint bulk_operations_pk primary key (id)
);
create index bulk_operations_created_at_ix
  on orchestrator.bulk_operations (created_at, id);
create index bulk_operations_open_ix
  on orchestrator.bulk_operations (created_at)
  where state in ('pending', 'running');

create table orchestrator.audit_log (
  id bigserial,
  at timestamptz not null default clock_timestamp(),
  namespace text,
  actor text not null,
  action text not null,
  target text,
  reason text,
  details json,
  address text,
  operation uuid,
  constraint audit_log_pk primary key (id)
);
create index audit_log_action_ix
  on orchestrator.audit_log (action, id);
create index audit_log_operation_ix
  on orchestrator.audit_log (operation, id)
  where operation is not null;
create index audit_log_list_ix
  on orchestrator.audit_log (namespace, id);
create index audit_log_target_ix
  on orchestrator.audit_log (target, id)
  where target is not null;

create table orchestrator.schedules (
  id uuid not null,
  namespace text not null,
  workflow text not null,
  kind text not null,
  state text not null default 'active',
  workflow_id uuid not null,
  version text not null,
  timing json not null,
  policy json not null,
  anchor timestamptz not null,
  next_due timestamptz,
  next_fire_at timestamptz,
  last_instance_id uuid,
  waits_for_end boolean not null default false,
  created_at timestamptz not null default clock_timestamp(),
  heard_from bigint,
  constraint schedules_pk primary key (id),
  constraint schedules_namespace_workflow_kind_uq unique (namespace, workflow, kind)
) with (fillfactor = 70);
create index schedules_next_fire_at_ix
  on orchestrator.schedules (next_fire_at)
  where state = 'active' and next_fire_at is not null;
create index schedules_on_ix
  on orchestrator.schedules (namespace)
  where kind = 'on' and state = 'active';
create index schedules_waits_for_end_ix
  on orchestrator.schedules (id)
  where waits_for_end;

create table orchestrator.firings (
  schedule_id uuid not null,
  due timestamptz not null,
  reason text not null,
  outcome text not null,
  skip_reason text,
  missed_since timestamptz,
  fires_at timestamptz not null,
  fired_at timestamptz,
  instance_id uuid,
  version text not null,
  key text,
  input json,
  created_at timestamptz not null default clock_timestamp(),
  heard_from bigint,
  constraint firings_pk primary key (schedule_id, due)
);
create index firings_created_at_ix
  on orchestrator.firings (created_at);
create unique index firings_key_uq
  on orchestrator.firings (schedule_id, key)
  where key is not null;
create index firings_queued_ix
  on orchestrator.firings (schedule_id, due)
  where outcome = 'queued';

create table orchestrator.celery_beat_entries (
  app text not null,
  entry text not null,
  last_due timestamptz not null,
  reported_at timestamptz not null default clock_timestamp(),
  constraint celery_beat_entries_pk primary key (app, entry)
) with (fillfactor = 70);

create table orchestrator.celery_beat_firings (
  app text not null,
  entry text not null,
  due timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  tried_at timestamptz not null default clock_timestamp(),
  sent_at timestamptz,
  constraint celery_beat_firings_pk primary key (app, entry, due)
);
create index celery_beat_firings_created_at_ix
  on orchestrator.celery_beat_firings (created_at);
create index celery_beat_firings_unsent_ix
  on orchestrator.celery_beat_firings (tried_at)
  where sent_at is null;

-- Other applications use this schema through one function; no right on its tables is granted.
create schema orchestrator_outbox;

create table orchestrator_outbox.logins (
  login text not null,
  namespace text not null,
  max_rows integer not null default 100000,
  created_at timestamptz not null default clock_timestamp(),
  constraint logins_pk primary key (login)
);

create table orchestrator_outbox.starts (
  id uuid not null,
  namespace text not null,
  login text not null,
  request json not null,
  heard_from bigint not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint starts_pk primary key (id)
);
create index starts_namespace_ix
  on orchestrator_outbox.starts (namespace, id);
