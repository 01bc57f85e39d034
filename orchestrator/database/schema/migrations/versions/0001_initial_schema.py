"""The first schema: every table, and the functions of the hot path."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

SQL = Path(__file__).parents[2] / "functions"
#: Later ones use earlier ones.
FUNCTIONS = (
    "read_slice",
    "read_inbox",
    "lock_slice",
    "claim",
    "save",
    "save_step",
)


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("instance_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("starts", sa.Integer(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=True),
        sa.Column("state", sa.Text(), server_default="ready", nullable=False),
        sa.Column("withdrawn", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("time_limit", sa.Float(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("publishings", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("process", sa.Integer(), nullable=True),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("progress", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("error", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("attempts_pk")),
        schema="orchestrator",
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "attempts_claimed_ix",
        "attempts",
        ["worker", "process"],
        unique=False,
        schema="orchestrator",
        postgresql_where=sa.text("state = 'claimed'"),
    )
    op.create_index(
        op.f("attempts_instance_id_step_ix"),
        "attempts",
        ["instance_id", "step"],
        unique=False,
        schema="orchestrator",
    )
    op.create_index(
        "attempts_ready_ix",
        "attempts",
        ["instance_id", "id"],
        unique=False,
        schema="orchestrator",
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_index(
        "attempts_waiting_ix",
        "attempts",
        [sa.text("published_at nulls first")],
        unique=False,
        schema="orchestrator",
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_index(
        "attempts_claimed_at_ix",
        "attempts",
        ["claimed_at"],
        unique=False,
        schema="orchestrator",
        postgresql_using="brin",
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("namespace", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_pk")),
        schema="orchestrator",
    )
    op.create_index(
        op.f("audit_namespace_at_ix"),
        "audit",
        ["namespace", "at"],
        unique=False,
        schema="orchestrator",
    )
    op.create_table(
        "chunks",
        sa.Column("instance_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("items", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "step", "index", name=op.f("chunks_pk")),
        schema="orchestrator",
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("error", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolution", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("dead_letters_pk")),
        schema="orchestrator",
    )
    op.create_index(
        op.f("dead_letters_namespace_created_at_ix"),
        "dead_letters",
        ["namespace", "created_at"],
        unique=False,
        schema="orchestrator",
    )
    op.create_table(
        "events",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("event", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("instance_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("events_pk")),
        sa.UniqueConstraint(
            "namespace",
            "source",
            "event_id",
            name=op.f("events_namespace_source_event_id_uq"),
        ),
        schema="orchestrator",
    )
    op.create_table(
        "history",
        sa.Column("instance_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("stimulus", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("facts", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "sequence", name=op.f("history_pk")),
        schema="orchestrator",
    )
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("headers", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("body", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("idempotency_pk")),
        schema="orchestrator",
    )
    op.create_index(
        op.f("idempotency_created_at_ix"),
        "idempotency",
        ["created_at"],
        unique=False,
        schema="orchestrator",
    )
    op.create_table(
        "instances",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("business_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("compensation", sa.Text(), server_default="none", nullable=False),
        sa.Column("run", sa.Integer(), server_default="1", nullable=False),
        sa.Column("sequence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("counter", sa.Integer(), server_default="0", nullable=False),
        sa.Column("open", sa.Integer(), server_default="0", nullable=False),
        sa.Column("input", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("output", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("error", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("context", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("state", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("labels", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("parent_instance", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("parent_step", sa.Integer(), nullable=True),
        sa.Column("engine", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("instances_pk")),
        schema="orchestrator",
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "instances_business_id_uq",
        "instances",
        ["namespace", "business_id"],
        unique=True,
        schema="orchestrator",
        postgresql_where=sa.text("business_id is not null"),
    )
    op.create_index(
        op.f("instances_namespace_created_at_id_ix"),
        "instances",
        ["namespace", "created_at", "id"],
        unique=False,
        schema="orchestrator",
    )
    op.create_index(
        "instances_parent_ix",
        "instances",
        ["parent_instance"],
        unique=False,
        schema="orchestrator",
        postgresql_where=sa.text("parent_instance is not null"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("namespaces", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("keys_pk")),
        sa.UniqueConstraint("prefix", name=op.f("keys_prefix_uq")),
        schema="orchestrator",
    )
    op.create_table(
        "listeners",
        sa.Column("instance_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("filters", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("until", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("read", sa.Text(), server_default="data", nullable=False),
        sa.Column("correlation", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("variables", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("instance_id", "step", name=op.f("listeners_pk")),
        schema="orchestrator",
    )
    op.create_table(
        "steps",
        sa.Column("instance_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("parent", sa.Integer(), nullable=False),
        sa.Column("open", sa.Integer(), server_default="0", nullable=False),
        sa.Column("index", sa.Integer(), nullable=True),
        sa.Column("done", sa.Integer(), nullable=True),
        sa.Column("undoes", sa.Integer(), nullable=True),
        sa.Column("unknown", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("undo", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("input", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("raw_input", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("output", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("state", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("scope", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("call", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("error", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("instance_id", "id", name=op.f("steps_pk")),
        schema="orchestrator",
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "steps_undo_ix",
        "steps",
        ["instance_id", "done"],
        unique=False,
        schema="orchestrator",
        postgresql_where=sa.text("undo is not null"),
    )
    op.create_table(
        "stimuli",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("instance_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("data", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("hinted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("set_aside", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("stimuli_pk")),
        schema="orchestrator",
    )
    op.create_index(
        op.f("stimuli_instance_id_id_ix"),
        "stimuli",
        ["instance_id", "id"],
        unique=False,
        schema="orchestrator",
    )
    op.create_index(
        "stimuli_key_uq",
        "stimuli",
        ["instance_id", "key"],
        unique=True,
        schema="orchestrator",
        postgresql_where=sa.text("key is not null"),
    )
    op.create_table(
        "timers",
        sa.Column("instance_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("instance_id", "step", "kind", name=op.f("timers_pk")),
        schema="orchestrator",
    )
    op.create_index(
        op.f("timers_due_at_ix"),
        "timers",
        ["due_at"],
        unique=False,
        schema="orchestrator",
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("queues", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("tasks", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("beat", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "held",
            postgresql.ARRAY(sa.UUID(as_uuid=False)),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("free", sa.Integer(), server_default="0", nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopping", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("workers_pk")),
        schema="orchestrator",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "workflows",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("version_key", sa.Text(collation="C"), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("document", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("warnings", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("workflows_pk")),
        sa.UniqueConstraint(
            "namespace",
            "name",
            "version",
            name=op.f("workflows_namespace_name_version_uq"),
        ),
        schema="orchestrator",
    )
    for name in FUNCTIONS:
        op.get_bind().exec_driver_sql((SQL / f"{name}.sql").read_text().replace("%", "%%"))
