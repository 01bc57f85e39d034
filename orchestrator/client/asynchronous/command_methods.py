"""Methods for commands to instances, and for dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.models import Json
from orchestrator.client.url_paths import path


class AsyncCommandMethods(AsyncResources):
    """The methods of the client for commands."""

    async def plan(self, id: str, command: str, **arguments: Json) -> dict[str, Any]:
        """Return what a command would do, and change nothing: `{keeps, runs, undoes, becomes,
        warnings}`. The arguments and errors are those of `command`."""
        body = {name: value for name, value in arguments.items() if value is not None}
        plan: dict[str, Any] = await self.transport.json(
            "POST", path("instances", id, command) + "?dry_run=true", json=body
        )
        return plan

    async def command(self, id: str, command: str, **arguments: Json) -> dict[str, Any]:
        """Send an instance a command: suspend, resume, cancel, terminate, retry, compensate or
        skip.

        `arguments` are those of the API: reason, from, step, input, workflow_input, output. Returns
        the state after it: `{id, command, status, compensation, run, decided}`; `decided` is false
        if the command still waits in the instance's inbox. Raises `ApiError` 409 if the state of
        the instance does not allow it.
        """
        body = {name: value for name, value in arguments.items() if value is not None}
        state: dict[str, Any] = await self.transport.json(
            "POST", path("instances", id, command), json=body
        )
        return state

    async def cancel(self, id: str, reason: str | None = None) -> None:
        """Stop an instance and undo its completed steps."""
        await self.command(id, "cancel", reason=reason)

    async def terminate(self, id: str, reason: str | None = None) -> None:
        """Stop an instance and undo nothing."""
        await self.command(id, "terminate", reason=reason)

    async def suspend(self, id: str, reason: str | None = None) -> None:
        """Let an instance's running steps finish, and start no new steps."""
        await self.command(id, "suspend", reason=reason)

    async def resume(self, id: str, reason: str | None = None) -> None:
        """Continue a suspended instance."""
        await self.command(id, "resume", reason=reason)

    async def retry(
        self,
        id: str,
        *,
        step: int | None = None,
        input: Json = None,
        workflow_input: Json = None,
        reason: str | None = None,
    ) -> None:
        """Run the failed steps again, as a new run; completed steps are not repeated, also in
        sub-workflows. `step` starts again at that earlier step, `input` replaces its input (`.` and
        `$input`), `workflow_input` replaces the workflow's (`$workflow.input`)."""
        edited = {"input": input, "workflow_input": workflow_input}
        await self.command(id, "retry", reason=reason, **edited, **{"from": step})

    async def skip(
        self, id: str, step: int, output: Json = None, reason: str | None = None
    ) -> None:
        """Complete a step that waits or failed with `output`, without running it."""
        await self.command(id, "skip", reason=reason, step=step, output=output)

    async def compensate(
        self, id: str, *, step: int | None = None, reason: str | None = None
    ) -> None:
        """Undo the completed steps of an ended instance; with `step`, only those after that
        step."""
        await self.command(id, "compensate", reason=reason, step=step)

    def dead_letters(self, **filters: str) -> AsyncIterator[dict[str, Any]]:
        """Yield dead letters: `{id, instance, step, reason, error, ...}`, newest first."""
        return self.pages("/v1/dead-letters", filters)

    async def act_on_dead_letter(
        self, dead_letter: str, action: str, reason: str | None = None
    ) -> None:
        """Close a dead letter: `action` is ``retry``, or ``resolve`` if a person has solved the
        problem. Raises `ApiError` 409 if it is closed already."""
        body = {"reason": reason} if reason else {}
        await self.transport.request("POST", path("dead-letters", dead_letter, action), json=body)
