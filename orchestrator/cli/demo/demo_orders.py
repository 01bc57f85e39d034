"""The two orders: placed over REST, followed to their end, printed from the records."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from orchestrator.cli.demo import expectations
from orchestrator.cli.demo.expectations import Check, Tables
from orchestrator.cli.demo.shop import Shop, find_project
from orchestrator.cli.demo.transcript import print_lines, transcript
from orchestrator.cli.dev.local_stack import LocalStack
from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.cli.output import progress_console
from orchestrator.cli.views.step_tree import step_tree
from orchestrator.client import Client, Run, Step

#: Longest time that an order may take, in seconds.
ORDER_TIMEOUT = 60.0

#: The card covers the deposit but not the balance.
DECLINED = {"id": "o-1", "item": "lamp", "quantity": 2, "card": "nearly-empty"}
GOOD = {"id": "o-2", "item": "lamp", "quantity": 2, "card": "gold"}


def run_orders(stack: LocalStack, console: Console) -> list[Check]:
    """Run both orders; return the checks of their results."""
    shop = Shop(find_project(), stack.database_url)
    shop.create()
    before = expectations.stock(shop.tables())
    with Client(stack.api_url) as client:
        deployed = client.deploy(shop.order)
        console.print(f"deployed {deployed.workflow} {deployed.version} from {shop.order.name}")

        run, steps = _order(client, shop, DECLINED, console)
        checks = expectations.declined_order(run, steps, shop.tables(), "o-1", before)
        stack.start_worker(3)  # replaces the killed worker

        run, _ = _order(client, shop, GOOD, console)
        return [*checks, *expectations.paid_order(run, shop.tables(), "o-2", before, 2)]


def _order(
    client: Client, shop: Shop, order: dict[str, Any], console: Console
) -> tuple[Run, list[Step]]:
    """Place an order, wait for its end, print its records. Raises `Failure` if it does not end."""
    console.print()
    summary = f"{order['quantity']} {order['item']}s, card {order['card']}"
    console.rule(f"order {order['id']}: {summary}", align="left")
    with progress_console().status("waiting for its end"):
        run = client.start("shop/order", order, business_id=order["id"], wait=ORDER_TIMEOUT)
    if not run.ended:
        raise Failure(f"order {order['id']} did not end: it is {run.status}", Exit.WAIT_TIMED_OUT)
    steps, tables = client.steps(run.id), shop.tables()
    entries = list(client.history(run.id))
    print_lines(transcript(entries, steps, tables, order["id"]), console)
    console.print()
    console.print(step_tree(run, steps))
    _print_tables(tables, console)
    return run, steps


def _print_tables(tables: Tables, console: Console) -> None:
    """Print the shop's own tables of goods and money."""
    for name in ("stock", "charges", "refunds"):
        rows = ["  ".join(f"{key}={value}" for key, value in row.items()) for row in tables[name]]
        for row in rows or ["no rows"]:
            console.print(f"[dim]shop.{name:<8}[/] {escape(row)}", soft_wrap=True)
