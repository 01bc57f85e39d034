"""Indexes for lists, filters and counts over millions of rows.

What they serve and what they cost: docs/implementation/database_optimization.md.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

#: Name, table and what follows it.
INDEXES = (
    ("instances_status_ix", "instances", "(namespace, status, created_at, id)"),
    (
        "instances_workflow_ix",
        "instances",
        "(namespace, workflow, version, status, created_at, id)",
    ),
    (
        "instances_started_ix",
        "instances",
        "(namespace, status, started_at, id) where started_at is not null",
    ),
    (
        "instances_late_ix",
        "instances",
        "(namespace, created_at, id) where started_at - created_at > interval '1 minute'",
    ),
    (
        "instances_compensation_ix",
        "instances",
        "(namespace, compensation, created_at, id) where compensation <> 'none'",
    ),
    (
        "instances_labels_ix",
        "instances",
        "using gin (labels jsonb_path_ops) where labels is not null",
    ),
    ("listeners_list_ix", "listeners", "(namespace, created_at, instance_id, step)"),
    ("events_list_ix", "events", "(namespace, number)"),
    ("events_type_ix", "events", "(namespace, type, number)"),
    ("events_target_ix", "events", "(target, number) where target is not null"),
    ("dead_letters_list_ix", "dead_letters", "(namespace, created_at, id)"),
    (
        "dead_letters_open_ix",
        "dead_letters",
        "(namespace, created_at, id) where resolved_at is null",
    ),
    ("dead_letters_instance_ix", "dead_letters", "(instance_id, step)"),
    ("audit_list_ix", "audit", "(namespace, id)"),
    ("audit_target_ix", "audit", "(target, id) where target is not null"),
    ("audit_action_ix", "audit", "(action, id)"),
    ("deliveries_state_ix", "deliveries", "(subscription_id, state, created_at, id)"),
)
#: Those that a new one does the work of.
GONE = ("audit_namespace_at_ix", "dead_letters_namespace_created_at_ix")


def upgrade() -> None:
    for name, table, rest in INDEXES:
        op.execute(f"create index {name} on orchestrator.{table} {rest}")
    for name in GONE:
        op.execute(f"drop index orchestrator.{name}")
    # The same index in an order that finds beginnings too, whatever the database's collation.
    op.execute(
        "create unique index instances_business_id_new on orchestrator.instances"
        " (namespace, business_id text_pattern_ops) where business_id is not null"
    )
    op.execute("drop index orchestrator.instances_business_id_uq")
    op.execute(
        "alter index orchestrator.instances_business_id_new rename to instances_business_id_uq"
    )
    # What few rows have is what people look for: the planner must know how few.
    for column in ("namespace", "status", "workflow", "version", "labels"):
        op.execute(f"alter table orchestrator.instances alter {column} set statistics 500")
