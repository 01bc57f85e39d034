"""`once`: an effect in the users' own database, exactly once.

A step may run more than once: after a lost worker, an unreachable database, a retry. Its key is
stored in the transaction of the effect, in a table of the users' database. So both commit, or none;
a later attempt finds the key and has nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator import json_codec
from orchestrator.log import get_logger
from orchestrator.outbox import statements
from orchestrator.outbox.connections import adapter_of

log = get_logger(__name__)


@dataclass(slots=True)
class Effect:
    """The effect of a step. `is_first`: it has not been made, so make it now. `result`: any value
    that becomes JSON; later attempts get it back."""

    key: str
    is_first: bool
    result: Any = None


@contextmanager
def once(connection: Any, key: str) -> Iterator[Effect]:
    """Tell whether the effect under `key` has been made, and record it in the transaction that is
    open on `connection`.

    `connection`: as for `start_in`. The caller commits. If another attempt has recorded the key
    without a commit yet, it is waited for. An error in the block takes the record back, even if
    the caller then commits.

    Raises `NotJson` for a result, and the driver's error, also where the table is missing
    (`create_effects_table`).
    """
    adapter = adapter_of(connection)
    insert, find = statements.INSERT_EFFECT[adapter.dialect], statements.FIND_EFFECT
    inserted = adapter.change(insert, (key,))
    if not inserted:
        locked = " lock in share mode" if adapter.dialect == "mysql" else ""
        stored = adapter.execute(find + locked, (key,), read=True)
        yield Effect(key, False, None if stored is None else json_codec.loads(stored))
        return
    effect = Effect(key, True)
    try:
        yield effect
        if effect.result is not None:
            text = json_codec.dumps(json_codec.to_json(effect.result))
            adapter.change(statements.STORE_RESULT, (text, key))
    except BaseException:
        try:
            adapter.change(statements.FORGET_EFFECT, (key,))
        except Exception as error:  # noqa: BLE001  (as after any error of Postgres: only a rollback)
            log.info("The transaction can only roll back", action="effect_failed", error=str(error))
        raise
