"""Follows an instance: draws the step tree again after each transition until the end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape

from orchestrator.cli.views.history_lines import HistoryFormatter, error_line
from orchestrator.cli.views.step_tree import step_tree
from orchestrator.client import ApiError, Client, Run, Unreachable
from orchestrator.clock import monotonic

Entry = dict[str, Any]
#: Time without a transition after which the view asks why, in seconds.
QUIET_TIME = 4.0
#: Causes that last until a person starts a missing process.
MISSING_PROCESS = frozenset(
    {"engine", "broker", "no-control", "stuck", "no-worker", "no-task", "no-processes", "no-beat"}
)

Arrived = queue.SimpleQueue[Entry | Exception | None]


def follow(client: Client, run: Run, seconds: float, console: Console) -> Run:
    """Show the progress of `run` for at most `seconds`; return its state after that.

    On a terminal it draws a live tree, elsewhere it prints a line for each fact.
    """
    show = _show_live_tree if console.is_terminal else _print_lines
    notice = StallNotice(client, run.id, console)
    show(client, run, seconds, notice)
    run = client.get(run.id)
    if not run.ended:
        notice.show()
        console.print(f"[yellow]not ended after {seconds:g} s; it continues:[/] {_then(run.id)}")
    if run.status == "faulted" and run.error:
        console.print(f"[red]{escape(error_line(run.error))}[/]")
    return run


def _then(id: str) -> str:
    return f"orchestrator watch {id}"


class StallNotice:
    """Prints once why an instance makes no progress, if a process is missing."""

    def __init__(self, client: Client, id: str, console: Console) -> None:
        self._client = client
        self._id = id
        self.console = console
        self._printed = False

    def show(self) -> None:
        """Print the cause, if there is one. Called after `QUIET_TIME` and at the end of the
        wait."""
        cause = None if self._printed else self._cause()
        if cause is None:
            return
        self._printed = True
        self.console.print(
            f"[yellow]it makes no progress:[/] {escape(cause['message'])}\n"
            f"[dim]for advice:[/] orchestrator why {self._id}"
        )

    def _cause(self) -> dict[str, Any] | None:
        try:
            causes = self._client.why(self._id)["causes"]
        except (ApiError, Unreachable):
            return None  # the stream of transitions reports the error
        return next((each for each in causes if each["kind"] in MISSING_PROCESS), None)


def _show_live_tree(client: Client, run: Run, seconds: float, notice: StallNotice) -> None:
    with Live(step_tree(run, ()), console=notice.console, refresh_per_second=12) as live:
        for _ in transitions(client, run.id, seconds, notice):
            live.update(step_tree(client.get(run.id), client.steps(run.id)))
        live.update(step_tree(client.get(run.id), client.steps(run.id)))


def _print_lines(client: Client, run: Run, seconds: float, notice: StallNotice) -> None:
    formatter = HistoryFormatter(client, run.id)
    for entries in transitions(client, run.id, seconds, notice):
        for line in formatter.lines(entries):
            notice.console.print(escape(line))


def transitions(
    client: Client, id: str, seconds: float, notice: StallNotice
) -> Iterator[list[Entry]]:
    """Yield the transitions of an instance as they happen, in batches that arrived together.

    Ends with the instance or after `seconds`; shows `notice` whenever no transition came for
    `QUIET_TIME`. A thread reads the stream, so that the time also ends while no transition comes.
    """
    arrived: Arrived = queue.SimpleQueue()
    closed = threading.Event()
    threading.Thread(
        target=_watch, args=(client, id, arrived, closed), daemon=True, name="orchestrator-watch"
    ).start()
    until = monotonic() + seconds
    over = False
    try:
        while not over:
            batch, over = _batch(arrived, min(until, monotonic() + QUIET_TIME))
            if batch:
                yield batch
            elif not over:
                notice.show()
            over = over or monotonic() >= until
    finally:
        closed.set()


def _watch(client: Client, id: str, arrived: Arrived, closed: threading.Event) -> None:
    try:
        for entry in client.watch(id):
            arrived.put(entry)
        arrived.put(None)
    except Exception as error:  # noqa: BLE001 (the main thread raises it)
        # Report an error of the stream only while the view is shown. At its end the view closes the
        # client, which breaks the stream: that is no error.
        if not closed.is_set():
            arrived.put(error)


def _batch(arrived: Arrived, until: float) -> tuple[list[Entry], bool]:
    """Wait for the first entry until `until`; return all that arrived and whether the stream
    ended."""
    batch: list[Entry] = []
    try:
        # Wait for the next transition with a limit in any case: on some platforms Ctrl-C does not
        # interrupt a wait without one.
        remaining = max(0.0, min(until - monotonic(), threading.TIMEOUT_MAX))
        item = arrived.get(timeout=remaining)
        while True:
            if isinstance(item, Exception):
                raise item
            if item is None:
                return batch, True
            batch.append(item)
            item = arrived.get_nowait()
    except queue.Empty:
        return batch, False
