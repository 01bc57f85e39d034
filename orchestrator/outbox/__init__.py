"""Starts of workflows in the caller's own database transaction.

    from orchestrator.outbox import start_in

    with connection:                       # psycopg2, psycopg, SQLAlchemy or Django
        orders.insert(connection, order)
        id = start_in(connection, "shop/order", {"order": order.id})

The workflow starts if the transaction commits, exactly once, and not at all if it rolls back.
Importing this loads no database driver. `Relay` moves starts out of databases other than the
orchestrator's. `once` makes an effect in the caller's own database exactly once.
"""

# Define `TYPE_CHECKING` instead of importing it from `typing`: the import would take most of this
# module's import time. Type checkers treat any variable of this name alike.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from orchestrator.outbox.effects import Effect, once
    from orchestrator.outbox.relay import Relay
    from orchestrator.outbox.statements import create_effects_table, create_table
    from orchestrator.outbox.submission import hint, hint_async, start_in, start_in_async

__all__ = [
    "Effect",
    "Relay",
    "create_effects_table",
    "create_table",
    "hint",
    "hint_async",
    "once",
    "start_in",
    "start_in_async",
]

_MODULES = {
    "Effect": "orchestrator.outbox.effects",
    "Relay": "orchestrator.outbox.relay",
    "create_effects_table": "orchestrator.outbox.statements",
    "create_table": "orchestrator.outbox.statements",
    "once": "orchestrator.outbox.effects",
}


def __getattr__(name: str) -> "Any":
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES.get(name, "orchestrator.outbox.submission")), name)
