"""Following an instance: the step tree, drawn again after each transition until the end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape

from orchestrator.cli.views.history_lines import Teller, error_line
from orchestrator.cli.views.step_tree import step_tree
from orchestrator.client import ApiError, Client, Run, Unreachable
from orchestrator.clock import monotonic

Entry = dict[str, Any]
#: How long nothing happens until it is asked why, in seconds.
PATIENCE = 4.0
#: Causes of standing still that last until somebody starts what is missing.
NOBODY = frozenset(
    {"engine", "broker", "no-control", "stuck", "no-worker", "no-task", "no-processes", "no-beat"}
)

Arrived = queue.SimpleQueue[Entry | Exception | None]


def follow(client: Client, run: Run, seconds: float, console: Console) -> Run:
    """Show how `run` goes on for at most `seconds`; returns it as it stands then.

    On a terminal that is a live tree, elsewhere a line for each thing that happened.
    """
    show = _live if console.is_terminal else _lines
    quiet = Quiet(client, run.id, console)
    show(client, run, seconds, quiet)
    run = client.get(run.id)
    if not run.ended:
        quiet.tell()
        console.print(f"[yellow]not ended after {seconds:g} s; it goes on:[/] {_then(run.id)}")
    if run.status == "faulted" and run.error:
        console.print(f"[red]{escape(error_line(run.error))}[/]")
    return run


def _then(id: str) -> str:
    return f"orchestrator watch {id}"


class Quiet:
    """Tells once why an instance stands still, where nobody is there to move it on."""

    def __init__(self, client: Client, id: str, console: Console) -> None:
        self._client = client
        self._id = id
        self.console = console
        self._told = False

    def tell(self) -> None:
        """Nothing was heard of it for `PATIENCE`, or until the time to wait was over."""
        found = None if self._told else self._cause()
        if found is None:
            return
        self._told = True
        self.console.print(
            f"[yellow]it stands still:[/] {escape(found['message'])}\n"
            f"[dim]what to do about it:[/] orchestrator why {self._id}"
        )

    def _cause(self) -> dict[str, Any] | None:
        try:
            causes = self._client.why(self._id)["causes"]
        except (ApiError, Unreachable):
            return None  # following it goes on, and tells of that itself
        return next((each for each in causes if each["kind"] in NOBODY), None)


def _live(client: Client, run: Run, seconds: float, quiet: Quiet) -> None:
    with Live(step_tree(run, ()), console=quiet.console, refresh_per_second=12) as live:
        for _ in transitions(client, run.id, seconds, quiet):
            live.update(step_tree(client.get(run.id), client.steps(run.id)))
        live.update(step_tree(client.get(run.id), client.steps(run.id)))


def _lines(client: Client, run: Run, seconds: float, quiet: Quiet) -> None:
    teller = Teller(client, run.id)
    for entries in transitions(client, run.id, seconds, quiet):
        for line in teller.lines(entries):
            quiet.console.print(escape(line))


def transitions(client: Client, id: str, seconds: float, quiet: Quiet) -> Iterator[list[Entry]]:
    """The transitions of an instance as they happen, in batches of what came together.

    Ends with the instance or when `seconds` are over; `quiet` is asked to tell whenever nothing
    came for `PATIENCE`. A thread reads the stream, so that a
    silent instance does not hold up the end of the time.
    """
    arrived: Arrived = queue.SimpleQueue()
    left = threading.Event()
    threading.Thread(target=_watch, args=(client, id, arrived, left), daemon=True).start()
    until = monotonic() + seconds
    over = False
    try:
        while not over:
            batch, over = _batch(arrived, min(until, monotonic() + PATIENCE))
            if batch:
                yield batch
            elif not over:
                quiet.tell()
            over = over or monotonic() >= until
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
    """What has arrived by `until`, waiting for the first; and whether the stream has ended."""
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
        return batch, False
