"""Events: their order, mailboxes, matching, subscriptions, and what feeds follow."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSON, UUID

revision = "0004"
down_revision = "0003"

SCHEMA = "orchestrator"
ID = UUID(as_uuid=False)
TIME = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")
FALSE = sa.text("false")


def upgrade() -> None:
    _feeds()
    _events()
    _listeners()
    _schedules()
    _subscriptions()


def _feeds() -> None:
    for table in ("history", "events"):
        op.add_column(table, sa.Column("tx", sa.BigInteger()), schema=SCHEMA)
        # Set apart from the column, so that no row is rewritten: what is there is old news.
        op.alter_column(
            table,
            "tx",
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
            schema=SCHEMA,
        )
        op.create_index(
            f"{table}_tx_ix",
            table,
            ["tx"],
            schema=SCHEMA,
            postgresql_using="brin",
            postgresql_with={"pages_per_range": "16", "autosummarize": "on"},
        )
    op.create_table(
        "feeds",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tx", sa.BigInteger(), nullable=False),
        sa.Column("at", TIME, server_default=NOW, nullable=False),
        sa.Column("later_tx", sa.BigInteger(), nullable=False),
        sa.Column("later_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("name", name="feeds_pk"),
        schema=SCHEMA,
    )


def _events() -> None:
    for column in (
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("target", ID),
        sa.Column("taken", sa.Boolean(), server_default=FALSE, nullable=False),
        sa.Column("matched_at", TIME),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
    ):
        op.add_column("events", column, schema=SCHEMA)
    op.create_unique_constraint("events_number_uq", "events", ["number"], schema=SCHEMA)
    _index("events", "namespace_created_at_number", "namespace", "created_at", "number")
    _index("events", "unmatched", "namespace", "number", where="matched_at is null")
    _index("events", "mailbox", "target", "number", where="target is not null and not taken")
    op.create_table(
        "matches",
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.Column("instance_id", ID, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Boolean(), server_default=FALSE, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("event", "instance_id", "step", name="matches_pk"),
        schema=SCHEMA,
    )
    _index("matches", "refused", "instance_id", "event", where="refused")


def _listeners() -> None:
    for column in (
        sa.Column("asks", sa.Integer(), server_default="1", nullable=False),
        sa.Column("looks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("offered", ARRAY(sa.SmallInteger()), server_default="{}", nullable=False),
        sa.Column("full", sa.Boolean(), server_default=FALSE, nullable=False),
    ):
        op.add_column("listeners", column, schema=SCHEMA)
    _index("listeners", "asked", "namespace", "instance_id", where="asks > looks")
    op.create_table(
        "event_filters",
        sa.Column("id", ID, nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("type", sa.Text()),
        sa.Column("lifecycle", sa.Boolean(), nullable=False),
        sa.Column("filter", JSON(), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="event_filters_pk"),
        schema=SCHEMA,
    )
    _index("event_filters", "namespace_type", "namespace", "type")
    op.create_table(
        "listener_keys",
        sa.Column("instance_id", ID, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("until", sa.Boolean(), nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("filter_id", ID, nullable=False),
        sa.Column("key", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "step", "until", "place", name="listener_keys_pk"),
        schema=SCHEMA,
    )
    _index("listener_keys", "filter_id_key", "filter_id", "key")


def _schedules() -> None:
    op.create_table(
        "event_groups",
        sa.Column("id", ID, nullable=False),
        sa.Column("schedule_id", ID, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("members", ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("state", JSON(), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="event_groups_pk"),
        schema=SCHEMA,
    )
    _index("event_groups", "schedule_id_key_id", "schedule_id", "key", "id")


def _subscriptions() -> None:
    op.create_table(
        "event_sources",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "source", name="event_sources_pk"),
        schema=SCHEMA,
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", ID, nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("filter", JSON(), nullable=False),
        sa.Column("type", sa.Text()),
        sa.Column("lifecycle", sa.Boolean(), nullable=False),
        sa.Column("target", JSON(), nullable=False),
        sa.Column("secret", sa.Text()),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failing_since", TIME),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("changed_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="subscriptions_pk"),
        schema=SCHEMA,
    )
    _index("subscriptions", "namespace_created_at_id", "namespace", "created_at", "id")
    op.create_table(
        "deliveries",
        sa.Column("id", ID, nullable=False),
        sa.Column("subscription_id", ID, nullable=False),
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.Column("ordering", ID),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", TIME, server_default=NOW),
        sa.Column("until", TIME, nullable=False),
        sa.Column("status", sa.SmallInteger()),
        sa.Column("error", sa.Text()),
        sa.Column("instance_id", ID),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("ended_at", TIME),
        sa.PrimaryKeyConstraint("id", name="deliveries_pk"),
        sa.UniqueConstraint("subscription_id", "event", name="deliveries_subscription_id_event_uq"),
        schema=SCHEMA,
    )
    _index("deliveries", "subscription_id_created_at_id", "subscription_id", "created_at", "id")
    _index("deliveries", "due", "next_at", where="state = 'pending'")
    _index(
        *("deliveries", "order", "subscription_id", "ordering", "event"),
        where="state = 'pending' and ordering is not null",
    )


def _index(table: str, name: str, *columns: str, where: str | None = None) -> None:
    op.create_index(
        f"{table}_{name}_ix",
        table,
        list(columns),
        schema=SCHEMA,
        postgresql_where=sa.text(where) if where else None,
    )
