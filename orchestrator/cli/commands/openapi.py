"""`openapi`: the API's description."""

from __future__ import annotations

import click

from orchestrator.cli.options import Shared, shared_options


@click.command()
@shared_options
def openapi(shared: Shared) -> None:
    """Print the API's OpenAPI 3.1 document."""
    with shared.client() as client:
        shared.printer.value(client.transport.json("GET", "/openapi.json"))
