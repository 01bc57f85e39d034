r"""Every table of the product, in the Postgres schema ``orchestrator``; those of the outbox in a
schema of their own, because other applications have access to its function.

Payloads are ``json``, never ``jsonb``, which reorders keys and refuses ``\u0000``. Hot
tables carry no foreign keys (each would lock a parent's row at every insert); the audit
checks them instead. Ids are UUIDs of version 7.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Float,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, UUID

from orchestrator.message_names import OUTBOX_SCHEMA, SCHEMA

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_ix",
        "uq": "%(table_name)s_%(column_0_N_name)s_uq",
        "pk": "%(table_name)s_pk",
    },
)

Id = UUID(as_uuid=False)
Time = DateTime(timezone=True)


def _now() -> Column:  # type: ignore[type-arg]
    return Column("created_at", Time, nullable=False, server_default=func.clock_timestamp())


#: One row a workflow version; immutable once deployed.
workflows = Table(
    "workflows",
    metadata,
    Column("id", Id, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    #: Orders versions by semantic versioning when compared as bytes (COLLATE "C").
    Column("version_key", Text(collation="C"), nullable=False),
    #: SHA-256 of the document in canonical form: the same document again is no change.
    Column("digest", Text, nullable=False),
    Column("document", JSON, nullable=False),
    #: The document as it was sent, byte for byte, with its media type.
    Column("source", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("warnings", JSON),
    _now(),
    #: Whether a program has made the document: such versions are removed once nobody uses them.
    Column("generated", Boolean, nullable=False, server_default=text("false")),
    #: Of a generated version: when it was last deployed, and since when starts refuse it.
    Column("last_deployed_at", Time, nullable=False, server_default=func.clock_timestamp()),
    Column("retired_at", Time),
    UniqueConstraint("namespace", "name", "version"),
    Index(
        "workflows_generated_ix",
        "last_deployed_at",
        postgresql_where=text("generated"),
    ),
)

#: One row a run of a workflow version. `sequence` is the number of its newest history row
#: and the version that optimistic saves compare.
instances = Table(
    "instances",
    metadata,
    Column("id", Id, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("workflow_id", Id, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("business_id", Text),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("compensation", Text, nullable=False, server_default="none"),
    Column("run", Integer, nullable=False, server_default="1"),
    Column("sequence", Integer, nullable=False, server_default="0"),
    Column("last_number", Integer, nullable=False, server_default="0"),
    Column("open_places", Integer, nullable=False, server_default="0"),
    Column("input", JSON),
    Column("output", JSON),
    Column("error", JSON),
    Column("context", JSON),
    Column("state", JSON),
    Column("labels", JSONB),
    Column("parent_instance", Id),
    Column("parent_step", Integer),
    #: Whose rules decide it: `core.engine.ENGINE` of the release that started it.
    Column("engine", SmallInteger, nullable=False, server_default="1"),
    _now(),
    Column("started_at", Time),
    Column("ended_at", Time),
    #: It receives broadcast events with greater receipt numbers; empty: any.
    Column("heard_from", BigInteger),
    Index(None, "namespace", "created_at", "id"),
    #: Finds beginnings of a business_id too, whatever the database's collation.
    Index(
        "instances_business_id_uq",
        "namespace",
        "business_id",
        unique=True,
        postgresql_ops={"business_id": "text_pattern_ops"},
        postgresql_where=text("business_id is not null"),
    ),
    Index("instances_status_ix", "namespace", "status", "created_at", "id"),
    Index(
        "instances_workflow_ix", "namespace", "workflow", "version", "status", "created_at", "id"
    ),
    Index(
        "instances_started_ix",
        "namespace",
        "status",
        "started_at",
        "id",
        postgresql_where=text("started_at is not null"),
    ),
    #: Instances that started long after their creation. The index by creation finds the others.
    Index(
        "instances_late_ix",
        "namespace",
        "created_at",
        "id",
        postgresql_where=text("started_at - created_at > interval '1 minute'"),
    ),
    Index(
        "instances_compensation_ix",
        "namespace",
        "compensation",
        "created_at",
        "id",
        postgresql_where=text("compensation <> 'none'"),
    ),
    Index(
        "instances_labels_ix",
        "labels",
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_with={"gin_pending_list_limit": "512"},
        postgresql_where=text("labels is not null"),
    ),
    #: Not a partial one: the planner takes no statistics of an expression from those.
    Index(
        "instances_input_ix",
        literal_column("orchestrator.searchable_json(input)").label("searchable_json"),
        postgresql_using="gin",
        postgresql_ops={"searchable_json": "jsonb_path_ops"},
        postgresql_with={"gin_pending_list_limit": "512"},
    ),
    #: Instances by the type of their error.
    Index(
        "instances_error_ix",
        "namespace",
        literal_column("orchestrator.error_type(error)").label("error_type"),
        "created_at",
        "id",
        postgresql_where=text("error is not null"),
    ),
    Index(
        "instances_parent_ix",
        "parent_instance",
        postgresql_where=text("parent_instance is not null"),
    ),
    #: Who has not ended, and who is being undone: for the gauges, whatever has ended.
    Index(
        "instances_open_ix",
        "namespace",
        "workflow",
        "status",
        postgresql_where=text("status in ('pending', 'running', 'waiting', 'suspended')"),
    ),
    Index(
        "instances_compensating_ix",
        "namespace",
        "workflow",
        postgresql_where=text("compensation = 'running'"),
    ),
    info={"fillfactor": 70},
)

#: The execution tree: one row an execution of a task (see ``core.model.Step``).
steps = Table(
    "steps",
    metadata,
    Column("instance_id", Id, primary_key=True),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("parent", Integer, nullable=False),
    Column("open_children", Integer, nullable=False, server_default="0"),
    Column("index", Integer),
    Column("completion_number", Integer),
    Column("compensates", Integer),
    Column("outcome_unknown", Boolean, nullable=False, server_default=text("false")),
    Column("reference", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("compensated_by", Text),
    Column("started_at", Time),
    Column("ended_at", Time),
    Column("input", JSON),
    Column("raw_input", JSON),
    Column("output", JSON),
    Column("state", JSON),
    Column("scope", JSON),
    Column("call", JSON),
    Column("error", JSON),
    #: When it completed, in the order of completions, if it can be undone. The index is on this
    #: and not on `completion_number`, so that the end of any other step changes its row in place.
    Column(
        "undoable",
        Integer,
        Computed("case when compensated_by is not null then completion_number end", persisted=True),
    ),
    Index(
        "steps_undoable_ix",
        "instance_id",
        "undoable",
        postgresql_where=text("undoable is not null"),
    ),
    #: The steps that undo others.
    Index(
        "steps_compensates_ix",
        "instance_id",
        "compensates",
        postgresql_where=text("compensates is not null"),
    ),
    #: The steps that a person has to look at.
    Index("steps_unknown_ix", "instance_id", postgresql_where=text("outcome_unknown")),
    info={"fillfactor": 80},
)

#: One row a handing-off of a step to a worker. `id` is the Celery task id and the fence.
attempts = Table(
    "attempts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("instance_id", Id, nullable=False),
    Column("step", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("starts", Integer, nullable=False),
    Column("priority", SmallInteger),
    Column("state", Text, nullable=False, server_default="ready"),
    Column("withdrawn", Boolean, nullable=False, server_default=text("false")),
    Column("task", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("time_limit", Float),
    _now(),
    Column("published_at", Time),
    Column("publish_count", SmallInteger, nullable=False, server_default="0"),
    #: When a worker that can't run it threw its message away; null once it is published again.
    Column("refused_at", Time),
    Column("claimed_at", Time),
    Column("ended_at", Time),
    #: Who claimed it: the worker's incarnation, the process in it, and the claim's nonce.
    Column("worker", Id),
    Column("process", Integer),
    Column("token", Text),
    Column("progress", JSON),
    Column("error", JSON),
    Column("traceback", Text),
    #: When its worker reported a result after the attempt had ended otherwise, and which: the
    #: result was refused.
    Column("late_at", Time),
    Column("late_state", Text),
    Index(None, "instance_id", "step"),
    #: The ready attempts of one instance: to take a sibling, to publish the next portion.
    Index(
        "attempts_ready_ix",
        "instance_id",
        "id",
        postgresql_where=text("state = 'ready'"),
    ),
    #: Ready attempts whose message was published, to see whether an instance has many.
    Index(
        "attempts_published_ix",
        "instance_id",
        postgresql_where=text("state = 'ready' and published_at is not null"),
    ),
    #: The ready attempts that have waited longest: to publish them again.
    Index(
        "attempts_waiting_ix",
        text("published_at nulls first"),
        postgresql_where=text("state = 'ready'"),
    ),
    #: Ready attempts whose message was refused, to publish them for a worker that can run them.
    Index(
        "attempts_refused_ix",
        "refused_at",
        postgresql_where=text("state = 'ready' and refused_at is not null"),
    ),
    #: Recent claims. A BRIN index costs a claim almost nothing.
    Index("attempts_claimed_at_ix", "claimed_at", postgresql_using="brin"),
    Index(
        "attempts_claimed_ix",
        "worker",
        "process",
        postgresql_where=text("state = 'claimed'"),
    ),
    info={"fillfactor": 80},
)

#: The inbox: durable rows that tell an instance something, gone once a transition took them.
stimuli = Table(
    "stimuli",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("instance_id", Id, nullable=False),
    Column("kind", Text, nullable=False),
    Column("step", Integer),
    #: The attempt that a result or a loss is about.
    Column("attempt", Id),
    Column("data", JSON),
    #: Set where the same stimulus may be sent twice.
    Column("key", Text),
    _now(),
    Column("hinted_at", Time),
    #: It can't be applied: later stimuli go first.
    Column("deferred", Boolean, nullable=False, server_default=text("false")),
    #: How often a decision that takes long was begun for it, without an end that is known.
    Column("begun", Integer, nullable=False, server_default=text("0")),
    Index(None, "instance_id", "id"),
    Index(
        "stimuli_key_uq",
        "instance_id",
        "key",
        unique=True,
        postgresql_where=text("key is not null"),
    ),
)

#: How many instances a tree of sub-workflows and events has started within an hour. The starts by
#: its root are not counted.
instance_trees = Table(
    "instance_trees",
    metadata,
    Column("root_id", Id, primary_key=True),
    Column("started", Integer, nullable=False),
    Column("since", Time, nullable=False),
)

#: The process that decides for an instance, where its decision takes long. It only saves work, so
#: its loss in a crash is harmless.
decision_leases = Table(
    "decision_leases",
    metadata,
    Column("instance_id", Id, primary_key=True),
    Column("token", Text, nullable=False),
    Column("worker", Id),
    Column("process", Integer),
    Column("expires_at", Time, nullable=False),
    prefixes=["UNLOGGED"],
)

timers = Table(
    "timers",
    metadata,
    Column("instance_id", Id, primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("due_at", Time, nullable=False),
    _now(),
    Index(None, "due_at"),
    #: For lists of instances by what they wait for.
    Index(
        "timers_kind_ix",
        "kind",
        "instance_id",
        postgresql_where=text("kind in ('wait', 'start', 'retry')"),
    ),
)

listeners = Table(
    "listeners",
    metadata,
    Column("instance_id", Id, primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("namespace", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("filters", JSON, nullable=False),
    Column("until", JSON),
    Column("read", Text, nullable=False, server_default="data"),
    Column("correlation", JSON),
    Column("variables", JSON),
    _now(),
    #: How many look-backs were requested.
    Column("lookback_requests", Integer, nullable=False, server_default="1"),
    #: The number of the last of these requests that is done.
    Column("lookbacks_done", Integer, nullable=False, server_default="0"),
    #: The indexes of its filters that were offered an event, in mode `all`.
    Column("offered_filters", ARRAY(SmallInteger), nullable=False, server_default=text("'{}'")),
    #: Whether it was offered all the events that it can take.
    Column("is_saturated", Boolean, nullable=False, server_default=text("false")),
    #: It receives events with greater receipt numbers, and earlier ones of the last `look_back`
    #: seconds (empty: a setting), within the mark of its instance.
    Column("heard_from", BigInteger),
    Column("look_back", Float),
    Index("listeners_list_ix", "namespace", "created_at", "instance_id", "step"),
    Index(
        "listeners_lookback_ix",
        "namespace",
        "instance_id",
        postgresql_where=text("lookback_requests > lookbacks_done"),
    ),
)

#: The filters of listeners, each once however many listeners have it. `type` is set where a
#: filter accepts events of one type only; `lifecycle`: it accepts lifecycle events.
event_filters = Table(
    "event_filters",
    metadata,
    Column("id", Id, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("type", Text),
    Column("lifecycle", Boolean, nullable=False),
    Column("filter", JSON, nullable=False),
    _now(),
    Index(None, "namespace", "type"),
)

#: How an event finds listeners: by filter and correlation values.
listener_index = Table(
    "listener_index",
    metadata,
    Column("instance_id", Id, primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    #: Whether it is a filter of the listener's `until`.
    Column("is_until", Boolean, primary_key=True),
    #: The index of the filter in the listener, or in its `until`.
    Column("filter_index", SmallInteger, primary_key=True, autoincrement=False),
    Column("filter_id", Id, nullable=False),
    #: A digest of the correlation values that the listener expects; empty where it has none, or
    #: where not all are bound.
    Column("correlation_digest", Text, nullable=False, server_default=""),
    Index(None, "filter_id", "correlation_digest"),
)

#: Each offer of an event to a listener, once; step 0: the event started the instance. A refused
#: offer changed nothing: the event is free for others.
event_offers = Table(
    "event_offers",
    metadata,
    Column("event", BigInteger, primary_key=True, autoincrement=False),
    Column("instance_id", Id, primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("refused", Boolean, nullable=False, server_default=text("false")),
    _now(),
    Index("event_offers_refused_ix", "instance_id", "event", postgresql_where=text("refused")),
)

#: The append-only story of an instance: one row a transition.
history = Table(
    "history",
    metadata,
    Column("instance_id", Id, primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", Time, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("stimulus", JSON, nullable=False),
    Column("facts", JSON, nullable=False),
    #: Its position in the feeds across instances, of one sequence with those of `events`.
    Column("position", BigInteger, server_default=text("nextval('orchestrator.positions')")),
    Index(
        None,
        "position",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": "16", "autosummarize": "on"},
    ),
)

#: CloudEvents, in and out.
events = Table(
    "events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("event", JSON, nullable=False),
    #: The instance that emitted it, or on which it reports.
    Column("instance_id", Id),
    _now(),
    #: The order of receipt, in which events are matched.
    Column("receipt_number", BigInteger, Identity(always=True), nullable=False, unique=True),
    #: The instance to which it is addressed.
    Column("target_instance", Id),
    #: Whether it has left that instance's mailbox.
    Column("consumed", Boolean, nullable=False, server_default=text("false")),
    #: Empty until it was offered to all its listeners.
    Column("matched_at", Time),
    #: How often matching it has failed.
    Column("match_failures", SmallInteger, nullable=False, server_default="0"),
    #: As in `history`.
    Column("position", BigInteger, server_default=text("nextval('orchestrator.positions')")),
    UniqueConstraint("namespace", "source", "event_id"),
    Index(None, "namespace", "created_at", "receipt_number"),
    Index("events_list_ix", "namespace", "receipt_number"),
    Index("events_type_ix", "namespace", "type", "receipt_number"),
    Index(
        "events_target_ix",
        "target_instance",
        "receipt_number",
        postgresql_where=text("target_instance is not null"),
    ),
    Index(
        "events_unmatched_ix",
        "namespace",
        "receipt_number",
        postgresql_where=text("matched_at is null"),
    ),
    Index(
        "events_mailbox_ix",
        "target_instance",
        "receipt_number",
        postgresql_where=text("target_instance is not null and not consumed"),
    ),
    Index(
        None,
        "position",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": "16", "autosummarize": "on"},
    ),
)

#: Events that an event-driven schedule has collected and that are not complete yet.
event_groups = Table(
    "event_groups",
    metadata,
    Column("id", Id, primary_key=True),
    Column("schedule_id", Id, nullable=False),
    #: A digest of their correlation values.
    Column("key", Text, nullable=False),
    #: Their receipt numbers.
    Column("event_numbers", ARRAY(BigInteger), nullable=False),
    #: The indexes of the filters, and of those of `until`, that have had their event.
    Column("state", JSON, nullable=False),
    _now(),
    Index(None, "schedule_id", "key", "id"),
)

#: Receivers of events: a webhook, or a workflow that they start.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("description", Text),
    Column("filter", JSON, nullable=False),
    #: As in `event_filters`.
    Column("type", Text),
    Column("lifecycle", Boolean, nullable=False),
    Column("target", JSON, nullable=False),
    Column("secret", Text),
    #: active, paused or disabled; and why it was disabled.
    Column("state", Text, nullable=False, server_default="active"),
    Column("reason", Text),
    #: Failed deliveries in a row, and since when.
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("failing_since", Time),
    _now(),
    Column("changed_at", Time, nullable=False, server_default=func.clock_timestamp()),
    #: Events with greater numbers count; empty: any.
    Column("heard_from", BigInteger),
    Index(None, "namespace", "created_at", "id"),
)

#: One event on its way to one subscription. Those of one instance are sent in order.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("subscription_id", Id, nullable=False),
    Column("event", BigInteger, nullable=False),
    #: The instance whose events are delivered in order; empty: no order is kept.
    Column("order_key", Id),
    #: pending, delivered or failed.
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    #: When it is sent (again). While it is being sent: until when its result must be recorded.
    Column("next_at", Time, server_default=func.clock_timestamp()),
    Column("retry_until", Time, nullable=False),
    #: The status of the webhook's last response.
    Column("http_status", SmallInteger),
    Column("error", Text),
    #: The instance that was started.
    Column("instance_id", Id),
    _now(),
    Column("ended_at", Time),
    UniqueConstraint("subscription_id", "event"),
    Index(None, "subscription_id", "created_at", "id"),
    Index("deliveries_state_ix", "subscription_id", "state", "created_at", "id"),
    Index("deliveries_due_ix", "next_at", postgresql_where=text("state = 'pending'")),
    Index(
        "deliveries_order_ix",
        "subscription_id",
        "order_key",
        "event",
        postgresql_where=text("state = 'pending' and order_key is not null"),
    ),
)

#: The positions of readers of the history of all instances: all before `position` was read.
#: `next_position`, stored at `next_at`, is where an idle reader moves next.
feed_positions = Table(
    "feed_positions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("at", Time, nullable=False, server_default=func.clock_timestamp()),
    Column("next_position", BigInteger, nullable=False),
    Column("next_at", Time, nullable=False, server_default=func.clock_timestamp()),
)

#: The items of a long `for`, in parts (see ``core.model.ItemChunk``).
item_chunks = Table(
    "item_chunks",
    metadata,
    Column("instance_id", Id, primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("items", JSON, nullable=False),
)

#: Work that gave up and waits for a person.
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Id, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("instance_id", Id, nullable=False),
    Column("step", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("error", JSON),
    _now(),
    Column("resolved_at", Time),
    Column("resolution", JSON),
    #: Of a refused start from a transaction (`reason` is `start`): the request, and the login that
    #: submitted it. Its `instance_id` is the id that the login was given, its `step` 0.
    Column("request", JSON),
    Column("login", Text),
    Index("dead_letters_list_ix", "namespace", "created_at", "id"),
    Index(
        "dead_letters_open_ix",
        "namespace",
        "created_at",
        "id",
        postgresql_where=text("resolved_at is null"),
    ),
    Index("dead_letters_instance_ix", "instance_id", "step"),
)

#: The namespace of each database login that may start workflows in its own transactions.
outbox_logins = Table(
    "logins",
    metadata,
    Column("login", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    #: The most rows of the namespace that may stand in `starts`.
    Column("max_rows", Integer, nullable=False, server_default=text("100000")),
    _now(),
    schema=OUTBOX_SCHEMA,
)

#: Starts that were submitted in the transactions of other applications and are not started yet.
#: A beat deletes each row in the transaction that starts its instance or makes a dead letter of it.
outbox_starts = Table(
    "starts",
    metadata,
    #: The id of the instance-to-be.
    Column("id", Id, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("login", Text, nullable=False),
    #: The body of `POST /v1/instances`, unchecked.
    Column("request", JSON, nullable=False),
    #: The number of the newest event at that time: the instance hears later ones.
    Column("heard_from", BigInteger, nullable=False),
    _now(),
    Index("starts_namespace_ix", "namespace", "id"),
    schema=OUTBOX_SCHEMA,
)

#: Recorded answers of requests with an idempotency key.
idempotency_records = Table(
    "idempotency_records",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("headers", JSON),
    Column("body", JSON),
    _now(),
    Index(None, "created_at"),
)

#: One row per start of a worker.
workers = Table(
    "workers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pool", Text, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("queues", ARRAY(Text), nullable=False),
    Column("tasks", ARRAY(Text), nullable=False),
    #: The queues whose steps it cannot take: ``{queue: the broker's reason}``.
    Column("refused_queues", JSON, nullable=False, server_default=text("'{}'")),
    #: The argument of `celery -A`; null: started by `orchestrator worker`.
    Column("app", Text),
    #: The broker's URL without user, password and query.
    Column("broker", Text),
    #: Its wall clock minus the clock of Postgres at its last heartbeat, in seconds.
    Column("clock_offset", Float),
    Column("heartbeat_count", BigInteger, nullable=False, server_default="0"),
    #: The attempts that it runs, as of its last heartbeat.
    Column("in_flight", ARRAY(Id), nullable=False, server_default=text("'{}'")),
    Column("free_slots", Integer, nullable=False, server_default="0"),
    Column("received_at", Time),
    Column("stopping", Boolean, nullable=False, server_default=text("false")),
    #: Counters since its start: claims, refusals, ends ...
    Column("counters", JSON, nullable=False, server_default=text("'{}'")),
    Column("started_at", Time, nullable=False, server_default=func.clock_timestamp()),
    Column("last_heartbeat_at", Time, nullable=False, server_default=func.clock_timestamp()),
    Column("stopped_at", Time),
    info={"fillfactor": 50},
)

#: Where the users' apps route their tasks, as their workers announced it at their start. Processes
#: without these apps take the queues of steps from here.
task_routes = Table(
    "task_routes",
    metadata,
    Column("task", Text, primary_key=True),
    #: Empty: the app's router names no single queue.
    Column("queue", Text, primary_key=True),
    #: Why no queue, or this one, is uncertain.
    Column("warning", Text),
    Column("announced_at", Time, nullable=False, server_default=func.clock_timestamp()),
)

#: How the users' apps name their queues in Redis, as their workers announced it: the options of
#: kombu's transport on which publishers and workers must agree.
broker_options = Table(
    "broker_options",
    metadata,
    #: ``{sep, global_keyprefix, priority_steps}``, as JSON text; only those that an app sets.
    Column("options", Text, primary_key=True),
    Column("announced_at", Time, nullable=False, server_default=func.clock_timestamp()),
)

#: One row a running API or beat process, removed at its orderly end.
processes = Table(
    "processes",
    metadata,
    Column("id", Id, primary_key=True),
    #: ``api`` or ``beat``.
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    #: The broker's URL without user, password and query.
    Column("broker", Text),
    #: Its wall clock minus the clock of Postgres when it was last seen, in seconds.
    Column("clock_offset", Float),
    Column("started_at", Time, nullable=False, server_default=func.clock_timestamp()),
    Column("seen_at", Time, nullable=False, server_default=func.clock_timestamp()),
)

#: API keys: ``prefix.secret``, of which only a SHA-256 is kept.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("prefix", Text, nullable=False, unique=True),
    Column("hash", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("namespaces", ARRAY(Text), nullable=False),
    _now(),
    Column("expires_at", Time),
    Column("revoked_at", Time),
)

#: Sessions of people in browsers, of whose ids only a SHA-256 is kept. A session was begun with a
#: key, and ends with it, or by a person whom an identity provider knows by `issuer` and `subject`.
#: `groups` are those of the person that the settings named at the login.
sessions = Table(
    "sessions",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("id", Id, nullable=False, unique=True),
    Column("key_id", Id),
    _now(),
    Column("expires_at", Time, nullable=False),
    Column("address", Text),
    Column("issuer", Text),
    Column("subject", Text),
    Column("name", Text),
    Column("groups", ARRAY(Text)),
    Index(None, "expires_at"),
)

#: Secrets of workflows, encrypted (see ``orchestrator/secrets/encryption.py``).
secrets = Table(
    "secrets",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("ciphertext", Text, nullable=False),
    _now(),
    Column("changed_at", Time, nullable=False, server_default=func.clock_timestamp()),
)

#: One command to many instances, or one action on many dead letters, processed in batches.
bulk_operations = Table(
    "bulk_operations",
    metadata,
    Column("id", Id, primary_key=True),
    #: Whose instances it may reach; empty: all.
    Column("namespaces", ARRAY(Text)),
    Column("action", Text, nullable=False),
    #: As requested.
    Column("filter", JSON, nullable=False),
    #: The filter, ready for use.
    Column("selection", JSON, nullable=False),
    Column("reason", Text),
    Column("actor", Text, nullable=False),
    Column("address", Text),
    #: pending, running, completed, stopped or failed.
    Column("state", Text, nullable=False, server_default="pending"),
    #: How many matched the filter when it was requested.
    Column("matches", Integer, nullable=False),
    #: How many have got the command.
    Column("reached", Integer, nullable=False, server_default="0"),
    #: The position after the last one that was reached.
    Column("cursor", JSON),
    Column("error", Text),
    _now(),
    Column("started_at", Time),
    Column("ended_at", Time),
    Index("bulk_operations_created_at_ix", "created_at", "id"),
    Index(
        "bulk_operations_open_ix",
        "created_at",
        postgresql_where=text("state in ('pending', 'running')"),
    ),
)

#: Who changed what, and why.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("at", Time, nullable=False, server_default=func.clock_timestamp()),
    Column("namespace", Text),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text),
    Column("reason", Text),
    Column("details", JSON),
    Column("address", Text),
    #: The bulk operation that has sent the command to the instance.
    Column("operation", Id),
    Index("audit_log_list_ix", "namespace", "id"),
    Index("audit_log_target_ix", "target", "id", postgresql_where=text("target is not null")),
    Index("audit_log_action_ix", "action", "id"),
    Index(
        "audit_log_operation_ix",
        "operation",
        "id",
        postgresql_where=text("operation is not null"),
    ),
)

#: A workflow's recurring start: one row a kind of schedule that its newest version has. It
#: outlives the versions, so that its ledger goes on and a pause holds.
schedules = Table(
    "schedules",
    metadata,
    Column("id", Id, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("kind", Text, nullable=False),
    #: active, paused or stopped (no version has it any more).
    Column("state", Text, nullable=False, server_default="active"),
    Column("workflow_id", Id, nullable=False),
    Column("version", Text, nullable=False),
    Column("timing", JSON, nullable=False),
    Column("policy", JSON, nullable=False),
    #: The time from which the intervals of `every` count.
    Column("anchor", Time, nullable=False),
    #: The first due time that is not handled yet.
    Column("next_due", Time),
    #: The time at which `next_due` fires: with its jitter.
    Column("next_fire_at", Time),
    #: The instance that it started last.
    Column("last_instance_id", Id),
    #: Whether a start waits for the end of that instance.
    Column("waits_for_end", Boolean, nullable=False, server_default=text("false")),
    _now(),
    #: Events with greater numbers count; empty: any.
    Column("heard_from", BigInteger),
    UniqueConstraint("namespace", "workflow", "kind"),
    Index(
        "schedules_next_fire_at_ix",
        "next_fire_at",
        postgresql_where=text("state = 'active' and next_fire_at is not null"),
    ),
    Index("schedules_waits_for_end_ix", "id", postgresql_where=text("waits_for_end")),
    Index(
        "schedules_on_ix",
        "namespace",
        postgresql_where=text("kind = 'on' and state = 'active'"),
    ),
    info={"fillfactor": 70},
)

#: The ledger: the outcome of each due time of a schedule. Its key lets each due time fire once.
firings = Table(
    "firings",
    metadata,
    Column("schedule_id", Id, primary_key=True),
    Column("due", Time, primary_key=True),
    #: schedule, manual, backfill or event.
    Column("reason", Text, nullable=False),
    #: started, queued or skipped.
    Column("outcome", Text, nullable=False),
    Column("skip_reason", Text),
    #: The first of the missed due times that this one stands for.
    Column("missed_since", Time),
    #: The due time with its jitter.
    Column("fires_at", Time, nullable=False),
    Column("fired_at", Time),
    Column("instance_id", Id),
    Column("version", Text, nullable=False),
    #: Set where the same cause may come twice, as an event may.
    Column("key", Text),
    #: The instance's input, kept for as long as the firing is queued.
    Column("input", JSON),
    _now(),
    #: The greatest number of the events that are its cause: the mark of its instance.
    Column("heard_from", BigInteger),
    Index(
        "firings_key_uq",
        "schedule_id",
        "key",
        unique=True,
        postgresql_where=text("key is not null"),
    ),
    Index(
        "firings_queued_ix",
        "schedule_id",
        "due",
        postgresql_where=text("outcome = 'queued'"),
    ),
    Index(None, "created_at"),
)

#: The periodic entries of users' own apps (`beat_schedule`): what all beats agree on.
celery_beat_entries = Table(
    "celery_beat_entries",
    metadata,
    Column("app", Text, primary_key=True),
    Column("entry", Text, primary_key=True),
    #: The due time, or the beginning, that the next due time follows from.
    Column("last_due", Time, nullable=False),
    #: When a beat last had this entry.
    Column("reported_at", Time, nullable=False, server_default=func.clock_timestamp()),
    info={"fillfactor": 70},
)

#: One row a due time of a periodic entry; `sent_at` is empty until its message is out.
celery_beat_firings = Table(
    "celery_beat_firings",
    metadata,
    Column("app", Text, primary_key=True),
    Column("entry", Text, primary_key=True),
    Column("due", Time, primary_key=True),
    _now(),
    #: When a beat last tried to send it.
    Column("tried_at", Time, nullable=False, server_default=func.clock_timestamp()),
    Column("sent_at", Time),
    Index("celery_beat_firings_unsent_ix", "tried_at", postgresql_where=text("sent_at is null")),
    Index(None, "created_at"),
)
