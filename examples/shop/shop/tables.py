"""`python -m shop.tables create` makes the tables; `show` prints them as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from shop import store

SHOWN = {
    "stock": "select item, quantity from shop.stock order by item",
    "reservations": "select order_id, item, quantity, released from shop.reservations order by key",
    "charges": "select id, key, order_id, part, card, amount from shop.charges order by id",
    "refunds": "select id, key, charge_id, amount from shop.refunds order by id",
    "starts": "select at::text, task, key, order_id, worker from shop.starts order by id",
    "kills": "select at::text, task, key, worker, child from shop.kills order by at",
}


def create() -> None:
    """Create the schema with two items in stock and two cards; repeating it changes nothing."""
    with store.transaction() as db:
        db.execute((Path(__file__).parent / "schema.sql").read_text())


def show() -> dict[str, list[dict[str, object]]]:
    """Every table's rows, by table."""
    tables = {}
    with store.transaction() as db:
        for table, query in SHOWN.items():
            db.execute(query)
            columns = [column.name for column in db.description or ()]
            tables[table] = [dict(zip(columns, row, strict=True)) for row in db.fetchall()]
    return tables


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["create"]:
            create()
        case ["show"]:
            print(json.dumps(show(), indent=2))
        case _:
            sys.exit("usage: python -m shop.tables create|show")
