"""`DurableResult`: a running canvas, with the methods of Celery's results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from celery import exceptions, states

from orchestrator.canvas.errors import WorkflowFaulted
from orchestrator.clock import monotonic
from orchestrator.error_handler.exception_records import rebuild
from orchestrator.json_codec import celery_values

if TYPE_CHECKING:
    from orchestrator.client import Client, Run, Step

#: Longest wait of one request, in seconds.
_LONGEST = 30.0

_STATES = {
    "pending": states.PENDING,
    "running": states.STARTED,
    "waiting": states.STARTED,
    "suspended": states.STARTED,
    "completed": states.SUCCESS,
    "faulted": states.FAILURE,
    "cancelled": states.REVOKED,
}

#: Errors that no task has raised, by their title: what Celery raises there.
_TITLES: dict[str, type[Exception]] = {
    "TimeLimitExceeded": exceptions.TimeLimitExceeded,
    "Expired": exceptions.TaskRevokedError,
    "WorkerLostError": exceptions.WorkerLostError,
}


def exception_of(id: str, error: dict[str, Any] | None) -> BaseException:
    """Return the exception that an error of the DSL stands for."""
    error = error or {}
    data = error.get("data")
    recorded = data.get("exception") if isinstance(data, dict) else None
    found = rebuild(recorded) if isinstance(recorded, dict) else None
    if found is not None:
        return found
    known = _TITLES.get(str(error.get("title")))
    if known is not None:
        return known(str(error.get("detail") or ""))
    return WorkflowFaulted(id, error)


class DurableResult:
    """One canvas that was started. `id` is the id of its instance.

    It can be made again in any process: ``DurableResult(id)``.
    """

    def __init__(self, id: str, client: Client | None = None) -> None:
        self.id = id
        self._client = client
        self._ended: Run | None = None

    def __repr__(self) -> str:
        return f"<DurableResult: {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DurableResult) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    # -- state ---------------------------------------------------------------

    @property
    def client(self) -> Client:
        """The client that asks the API."""
        if self._client is None:
            from orchestrator.canvas.process_client import process_client

            self._client = process_client()
        return self._client

    @property
    def status(self) -> str:
        """The instance's status: pending, running, waiting, suspended, cancelled, faulted or
        completed."""
        return self._run().status

    @property
    def state(self) -> str:
        """The same in Celery's words: PENDING, STARTED, SUCCESS, FAILURE or REVOKED."""
        return str(_STATES[self.status])

    def ready(self) -> bool:
        """Whether it has ended and its compensation does not run."""
        return self._run().ended

    def successful(self) -> bool:
        """Whether it has completed."""
        return self.status == "completed"

    def failed(self) -> bool:
        """Whether it has faulted."""
        return self.status == "faulted"

    def _run(self) -> Run:
        if self._ended is not None:
            return self._ended
        return self._kept(self.client.get(self.id))

    def _kept(self, run: Run) -> Run:
        if run.ended:
            self._ended = run
        return run

    # -- results -------------------------------------------------------------

    def get(self, timeout: float | None = None, propagate: bool = True, **_: Any) -> Any:
        """Wait for the end and return the result.

        If it failed, raise the exception that the task has raised, if its class can be imported
        here and takes its arguments again; else `WorkflowFaulted`. With ``propagate=False`` return
        the exception instead; of a group return the list of results and exceptions.

        Raises:
            celery.exceptions.TimeoutError: it has not ended after `timeout` seconds.
            celery.exceptions.TaskRevokedError: it was cancelled, or a step has expired.
        """
        run = self._wait(timeout)
        if run.status == "completed":
            return celery_values.decode(run.output)
        error = self._exception(run)
        if propagate:
            raise error
        members = self.children
        if not members:
            return error
        return [member.get(propagate=False) for member in members]

    @property
    def result(self) -> Any:
        """The result or the exception, if it has ended; else None."""
        return self.get(propagate=False) if self.ready() else None

    def join(self, timeout: float | None = None, propagate: bool = True, **_: Any) -> Any:
        """Wait for all members of a group, and return the list of their results as `get` does."""
        return self.get(timeout, propagate)

    def _wait(self, timeout: float | None) -> Run:
        end = None if timeout is None else monotonic() + timeout
        while self._ended is None:
            left = _LONGEST if end is None else end - monotonic()
            run = self._kept(self.client.wait(self.id, max(0.0, min(left, _LONGEST))))
            if not run.ended and end is not None and monotonic() >= end:
                raise exceptions.TimeoutError("The operation timed out.")
        return self._ended

    def _exception(self, run: Run) -> BaseException:
        if run.status == "cancelled":
            return exceptions.TaskRevokedError("the canvas was cancelled")
        return exception_of(self.id, run.error)

    # -- members -------------------------------------------------------------

    @property
    def children(self) -> list[MemberResult]:
        """The members of the group, if the canvas is one or ends in one; else an empty list. Of a
        running group those that have begun."""
        steps = self.client.steps(self.id)
        outer = [step for step in steps if step.parent == 0]
        last = outer[-1] if outer else None
        if last is None or last.kind not in ("for", "fork") or not last.name.startswith("group"):
            return []
        group = last.id
        begun = {step.data["index"] for step in steps if step.parent == group}
        return [MemberResult(self, group, index) for index in sorted(begun)]

    def __getitem__(self, index: int) -> MemberResult:
        return self.children[index]

    def __iter__(self) -> Iterator[MemberResult]:
        return iter(self.children)

    # -- control -------------------------------------------------------------

    def revoke(self, terminate: bool = False, reason: str | None = None, **_: Any) -> None:
        """Cancel it, and undo its completed steps that have a compensation.

        Raises:
            ValueError: with ``terminate=True``: a step that runs is never killed. Use
                ``Client().terminate(id)`` to end the instance without undoing anything.
        """
        if terminate:
            raise ValueError(
                "revoke(terminate=True) is refused: a running step is never killed, and its end"
                " decides what is undone. Client().terminate(id) ends the instance without undoing"
            )
        self.client.cancel(self.id, reason)

    def forget(self) -> None:
        """Drop what this object has kept of the end. The instance itself stays until the
        installation's retention removes it."""
        self._ended = None


class MemberResult:
    """One member of a group: ``result.children[0]``."""

    def __init__(self, parent: DurableResult, group: int, index: int) -> None:
        self.parent = parent
        self.index = index
        self._group = group

    def __repr__(self) -> str:
        return f"<MemberResult: {self.index} of {self.parent.id}>"

    def _step(self) -> Step:
        """Return the newest step of the member: the last one of its row."""
        steps = self.parent.client.steps(self.parent.id)
        own = [step for step in steps if step.parent == self._group]
        return max(
            (step for step in own if step.data["index"] == self.index), key=lambda step: step.id
        )

    @property
    def status(self) -> str:
        """The status of the member's newest step."""
        return self._step().status

    def get(self, timeout: float | None = None, propagate: bool = True, **_: Any) -> Any:
        """Wait for the end of the whole group; then as `DurableResult.get`, for this member."""
        self.parent._wait(timeout)  # noqa: SLF001  its own part
        step = self._step()
        if step.status == "completed":
            return celery_values.decode(step.output)
        error = exception_of(self.parent.id, step.error)
        if propagate:
            raise error
        return error
