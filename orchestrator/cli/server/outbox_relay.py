"""`outbox-relay`: moves starts out of a database that is not the orchestrator's."""

from __future__ import annotations

import signal
import threading

import click

from orchestrator.cli.options import Shared, shared_options


@click.command("outbox-relay", short_help="Move starts from another database to the API.")
@click.option(
    "--from",
    "source",
    required=True,
    metavar="URL",
    help="SQLAlchemy's URL of the database: mysql+pymysql://..., sqlite:///shop.db.",
)
@click.option("--namespace", default="default", help="Of workflows that name none.")
@click.option("--create-table", is_flag=True, help="Make the table first, unless it is there.")
@click.option("--once", is_flag=True, help="Move the rows that are there, then exit.")
@click.option("--interval", type=click.FloatRange(0.05, 60), default=1.0, show_default=True)
@shared_options
def outbox_relay(
    shared: Shared, source: str, namespace: str, create_table: bool, once: bool, interval: float
) -> None:
    """Send each row that `start_in` stored in another database to the API, and delete it.

    A row is started once, however often the relay dies. Refused rows stay, with their error.
    """
    import sqlalchemy as sa

    from orchestrator.outbox import Relay

    engine, stopped = sa.create_engine(source), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        with shared.client() as client:
            relay = Relay(engine.connect, client, namespace)
            if create_table:
                relay.create_table(engine.dialect.name)
            if once:
                while relay.move():
                    pass
            else:
                relay.run(stopped, interval)
    finally:
        engine.dispose()
