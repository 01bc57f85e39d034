"""Following an instance: the step tree, drawn again after each transition until the end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape

from orchestrator.cli.story import Teller, error_line
from orchestrator.cli.tree import step_tree
from orchestrator.client import Client, Run
from orchestrator.clock import monotonic

Entry = dict[str, Any]
Arrived = queue.SimpleQueue[Entry | Exception | None]


def follow(client: Client, run: Run, seconds: float, console: Console) -> Run:
    """Show how `run` goes on for at most `seconds`; returns it as it stands then.

    On a terminal that is a live tree, elsewhere a line for each thing that happened.
    """
    show = _live if console.is_terminal else _lines
    show(client, run, seconds, console)
    run = client.get(run.id)
    if run.status == "faulted" and run.error:
        console.print(f"[red]{escape(error_line(run.error))}[/]")
    return run


def _live(client: Client, run: Run, seconds: float, console: Console) -> None:
    with Live(step_tree(run, ()), console=console, refresh_per_second=12) as live:
        for _ in transitions(client, run.id, seconds):
            live.update(step_tree(client.get(run.id), client.steps(run.id)))
        live.update(step_tree(client.get(run.id), client.steps(run.id)))


def _lines(client: Client, run: Run, seconds: float, console: Console) -> None:
    teller = Teller(client, run.id)
    for entries in transitions(client, run.id, seconds):
        for line in teller.tell(entries):
            console.print(escape(line))


def transitions(client: Client, id: str, seconds: float) -> Iterator[list[Entry]]:
    """The transitions of an instance as they happen, in batches of what came together.

    Ends with the instance or when `seconds` are over. A thread reads the stream, so that a
    silent instance does not hold up the end of the time.
    """
    arrived: Arrived = queue.SimpleQueue()
    left = threading.Event()
    threading.Thread(target=_watch, args=(client, id, arrived, left), daemon=True).start()
    until = monotonic() + seconds
    over = False
    try:
        while not over:
            batch, over = _batch(arrived, until)
            if batch:
                yield batch
    finally:
        left.set()


def _watch(client: Client, id: str, arrived: Arrived, left: threading.Event) -> None:
    try:
        for entry in client.watch(id):
            arrived.put(entry)
        arrived.put(None)
    except Exception as error:  # noqa: BLE001 (raised where somebody can see it)
        # Once nobody follows any more, the client is closed under the stream.
        if not left.is_set():
            arrived.put(error)


def _batch(arrived: Arrived, until: float) -> tuple[list[Entry], bool]:
    """What has arrived, waiting for the first; and whether that was all."""
    batch: list[Entry] = []
    try:
        # An unbounded wait would keep Ctrl-C from being heard on some platforms.
        left = max(0.0, min(until - monotonic(), threading.TIMEOUT_MAX))
        item = arrived.get(timeout=left)
        while True:
            if isinstance(item, Exception):
                raise item
            if item is None:
                return batch, True
            batch.append(item)
            item = arrived.get_nowait()
    except queue.Empty:
        return batch, monotonic() >= until
