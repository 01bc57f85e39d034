"""The shop's SQL. Each change is made once per idempotency key, however often it is requested."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import extensions

Cursor = extensions.cursor


class OutOfStock(Exception):
    """There is not enough of an item."""


class CardDeclined(Exception):
    """The card's credit does not cover the amount."""


def reserve(key: str, order: str, item: str, quantity: int) -> int:
    """Take goods off the shelf; returns their price in cents."""
    with transaction() as db:
        db.execute("select quantity, price from shop.stock where item = %s for update", (item,))
        row = db.fetchone()
        if row is None:
            raise OutOfStock(f"{item}: unknown item")
        on_shelf, price = row
        if not _first_time(db, "reservations", key):
            return int(price * quantity)
        if on_shelf < quantity:
            raise OutOfStock(f"{item}: {on_shelf} left, {quantity} wanted")
        db.execute(
            "update shop.stock set quantity = quantity - %s where item = %s", (quantity, item)
        )
        db.execute(
            "insert into shop.reservations (key, order_id, item, quantity) values (%s, %s, %s, %s)",
            (key, order, item, quantity),
        )
        return int(price * quantity)


def release(reservation: str) -> bool:
    """Put reserved goods back; returns False if they were put back before."""
    with transaction() as db:
        db.execute(
            "update shop.reservations set released = true where key = %s and not released"
            " returning item, quantity",
            (reservation,),
        )
        row = db.fetchone()
        if row is None:
            return False
        item, quantity = row
        db.execute(
            "update shop.stock set quantity = quantity + %s where item = %s", (quantity, item)
        )
        return True


def charge(key: str, order: str, part: str, card: str, amount: int) -> int:
    """Charge a card; returns the charge's number."""
    with transaction() as db:
        db.execute("select credit from shop.cards where number = %s for update", (card,))
        row = db.fetchone()
        if row is None:
            raise CardDeclined(f"no card {card}")
        credit = row[0]
        if _first_time(db, "charges", key):
            owed = _owed(db, card)
            if owed + amount > credit:
                raise CardDeclined(f"card {card}: {amount} cents wanted, {credit - owed} left")
            db.execute(
                "insert into shop.charges (key, order_id, part, card, amount)"
                " values (%s, %s, %s, %s, %s)",
                (key, order, part, card, amount),
            )
        return _number(db, "charges", key)


def refund(key: str, charge: int) -> int:
    """Refund a charge in full; returns the refund's number."""
    with transaction() as db:
        db.execute(
            "insert into shop.refunds (key, charge_id, amount)"
            " select %s, id, amount from shop.charges where id = %s on conflict (key) do nothing",
            (key, charge),
        )
        return _number(db, "refunds", key)


def record_start(task: str, key: str, order: str, worker: int) -> None:
    """Record that a task was started, whatever its result."""
    with transaction() as db:
        db.execute(
            "insert into shop.starts (task, key, order_id, worker) values (%s, %s, %s, %s)",
            (task, key, order, worker),
        )


@contextmanager
def transaction() -> Iterator[Cursor]:
    """One transaction on a connection of its own, committed at the end of the block."""
    url = os.environ.get("SHOP_DATABASE_URL") or os.environ["ORCHESTRATOR_DATABASE_URL"]
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def _first_time(db: Cursor, table: str, key: str) -> bool:
    db.execute(f"select 1 from shop.{table} where key = %s", (key,))
    return db.fetchone() is None


def _owed(db: Cursor, card: str) -> int:
    db.execute(
        "select coalesce(sum(c.amount), 0) from shop.charges c where c.card = %s"
        " and not exists (select from shop.refunds r where r.charge_id = c.id)",
        (card,),
    )
    return int(_one(db)[0])


def _number(db: Cursor, table: str, key: str) -> int:
    db.execute(f"select id from shop.{table} where key = %s", (key,))
    return int(_one(db)[0])


def _one(db: Cursor) -> tuple[Any, ...]:
    row = db.fetchone()
    if row is None:
        raise LookupError("the row that should be there is not")
    return row
