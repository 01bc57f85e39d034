"""One instance of a test: what became of it, and what a person may do to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from orchestrator.core.model import Fact, Json
from orchestrator.testing.errors import CommandRefused
from orchestrator.testing.steps import Steps, StepView

if TYPE_CHECKING:
    from orchestrator.testing.driver import Driver
    from orchestrator.testing.in_memory_rows import Rows


class Run:
    """An instance. Made by `Workflows.run` and `Workflows.start`; always shows the present state.

    Its methods do something and then let everything happen that needs no time.
    """

    def __init__(self, driver: Driver, id: str) -> None:
        self._driver = driver
        #: The instance's id.
        self.id = id

    def __repr__(self) -> str:
        error = f", {self.error.get('title')!r}" if isinstance(self.error, dict) else ""
        return f"<Run {self.rows.instance.workflow_id}: {self.status}{error}>"

    @property
    def rows(self) -> Rows:
        """Its rows in the store, for tools."""
        return self._driver.engine.rows[self.id]

    # -- what became of it ---------------------------------------------------------------------

    @property
    def workflow(self) -> str:
        """Namespace, name and version of its workflow: ``shop/order/1.0.0``."""
        return self.rows.instance.workflow_id

    @property
    def status(self) -> str:
        """pending, running, waiting, suspended, cancelled, faulted or completed."""
        return self.rows.instance.status.value

    @property
    def compensation(self) -> str:
        """none, running, completed or failed."""
        return self.rows.instance.compensation.value

    @property
    def output(self) -> Json:
        """Its output, once it has completed."""
        return self.rows.instance.output

    @property
    def error(self) -> Json:
        """Its error ``{type, status, title, detail, instance}``, once it has faulted."""
        return self.rows.instance.error

    @property
    def context(self) -> Json:
        """What its tasks have exported."""
        return self.rows.instance.context

    @property
    def steps(self) -> Steps:
        """Its steps by the names of their tasks: ``run.steps["charge"].attempts``."""
        return Steps(self.rows)

    @property
    def compensated(self) -> list[str]:
        """The names of the tasks that were undone, in that order."""
        return self.steps.undone()

    @property
    def dead_letters(self) -> list[Json]:
        """What a person has to look at: ``{"step", "reason", "error"}``."""
        return list(self.rows.dead_letters)

    @property
    def history(self) -> list[Fact]:
        """What happened: facts in the past tense, such as ``task.completed``."""
        return [fact for change in self.rows.history for fact in change.facts]

    @property
    def events(self) -> list[Json]:
        """The CloudEvents that it has emitted."""
        return [event for change in self.rows.history for event in change.emitted]

    @property
    def children(self) -> list[Run]:
        """The sub-workflows that it has started and awaits."""
        return [
            Run(self._driver, id)
            for id, rows in self._driver.engine.rows.items()
            if rows.instance.parent_instance == self.id
        ]

    @property
    def waiting_for(self) -> list[str]:
        """What the instance stands at: names of tasks that wait for time or events."""
        rows = self.rows
        steps = {step for step, _ in rows.timers} | set(rows.listeners)
        references = [rows.steps[id].reference for id in sorted(steps) if id in rows.steps]
        return [reference.rsplit("/", 1)[-1] for reference in references]

    @property
    def now(self) -> datetime:
        """The time of the virtual clock (UTC)."""
        return self._driver.engine.now

    @property
    def due(self) -> datetime | None:
        """When its next timer is due, by the virtual clock."""
        return min(self.rows.timers.values(), default=None)

    # -- what happens to it --------------------------------------------------------------------

    def advance(self, **duration: float) -> Run:
        """Let time pass: ``advance(hours=3)``, as for `datetime.timedelta`."""
        self._driver.advance(timedelta(**duration))
        return self

    def finish(self) -> Run:
        """Let time pass until it has ended, or waits for what time does not bring."""
        self._driver.finish(self.id)
        return self

    def send(self, event: Json, data: Json = None, **attributes: Json) -> Run:
        """Send an event to this instance: a CloudEvent, or its type and its data.

        It waits in the instance's mailbox until a listener takes it.

        Raises:
            InvalidEvent: it is no CloudEvent.
        """
        self._driver.send(event, data, attributes, self.rows.workflow.namespace, to=self.id)
        return self

    def cancel(self, reason: str | None = None) -> Run:
        """End it, and undo what it has completed."""
        return self.command("cancel", reason=reason)

    def terminate(self, reason: str | None = None) -> Run:
        """End it without undoing anything."""
        return self.command("terminate", reason=reason)

    def suspend(self, reason: str | None = None) -> Run:
        """Start nothing more."""
        return self.command("suspend", reason=reason)

    def resume(self, reason: str | None = None) -> Run:
        """Go on after a suspension."""
        return self.command("resume", reason=reason)

    def retry(self, from_: str | None = None, input: Json = None) -> Run:
        """Run it again from where it faulted, or from a step; what is finished stays."""
        more: dict[str, Json] = {} if input is None else {"input": input}
        if from_ is not None:
            more["from"] = self.step_id(from_)
        return self.command("retry", **more)

    def skip(self, step: str, output: Json = None) -> Run:
        """Go on after a step that faulted, as if it had this output."""
        return self.command("skip", step=self.step_id(step), output=output)

    def compensate(self, reason: str | None = None) -> Run:
        """Undo it, though it has completed."""
        return self.command("compensate", reason=reason)

    def command(self, command: str, **data: Json) -> Run:
        """Give it a command of the REST API.

        Raises:
            CommandRefused: it does not fit the instance's status.
        """
        refused = self._driver.command(self.id, command, data)
        if refused is not None:
            raise CommandRefused(f"{command} is refused: {refused} (status {self.status})")
        return self

    def step_id(self, name: str) -> int:
        """Return the number of the newest step of a task, as REST names it."""
        reference = self.steps[name].reference
        steps = self.rows.steps
        return max(id for id, step in steps.items() if step.reference == reference)

    def __iter__(self) -> Iterator[StepView]:
        return iter(self.steps.all())
