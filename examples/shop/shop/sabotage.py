"""The accident of the demo, which alone imports this module: a worker dies at the worst moment.

Once, after the row of the first deposit is committed and before the task returns, SIGKILL ends the
worker's main process and the child that runs the task. The charge was made, but no result was
recorded.
"""

from __future__ import annotations

import os
import signal

from shop import store

_charge = store.charge


def charge_then_die(key: str, order: str, part: str, card: str, amount: int) -> int:
    """Charge a card; the first deposit kills its worker."""
    number = _charge(key, order, part, card, amount)
    if part == "deposit" and _is_first(key):
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _is_first(key: str) -> bool:
    with store.transaction() as db:
        db.execute(
            "insert into shop.kills (task, key, worker, child)"
            " values ('charge_deposit', %s, %s, %s) on conflict do nothing returning task",
            (key, os.getppid(), os.getpid()),
        )
        return db.fetchone() is not None


store.charge = charge_then_die
