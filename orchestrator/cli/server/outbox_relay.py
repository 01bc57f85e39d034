"""`outbox-relay`: moves starts out of a database that is not the orchestrator's."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import click

from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.cli.options import Shared, shared_options

if TYPE_CHECKING:
    from sqlalchemy import Engine


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
    from sqlalchemy.exc import SQLAlchemyError

    from orchestrator.outbox import Relay

    engine, stopped = _engine(source), threading.Event()
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
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        hint = "make the table with --create-table, or see whether the database can be reached"
        raise Failure(f"the database failed: {reason}", Exit.UNREACHABLE, hint) from error
    finally:
        engine.dispose()


def _engine(source: str) -> Engine:
    """Return the engine of a URL. Raises `UsageError` for a wrong one, or without its driver."""
    import sqlalchemy as sa
    from sqlalchemy.exc import ArgumentError

    try:
        return sa.create_engine(source)
    except ArgumentError:  # also an unknown dialect; the URL may have a password
        raise click.UsageError(
            "--from is no URL of SQLAlchemy, or its dialect is not known: dialect+driver://user@host/db"
        ) from None
    except ImportError as error:
        raise click.UsageError(f"the driver of --from is not installed: {error}") from None
