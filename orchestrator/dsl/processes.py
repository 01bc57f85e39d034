"""Steps that run a process: another workflow, a container, a script, a shell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from orchestrator.dsl.document_task import Task, task
from orchestrator.dsl.expression import Expression
from orchestrator.dsl.values import data, given

Json = Any
Text = str | Expression
Return = Literal["stdout", "stderr", "code", "all", "none"]


def run_workflow(
    workflow: str,
    input: object = None,
    *,
    version: str = "latest",
    await_: bool | None = None,
) -> Task:
    """Return a step that runs ``"namespace/name"`` and waits for its output, unless ``await_``
    is False."""
    namespace, _, name = workflow.rpartition("/")
    sent = {"namespace": namespace or "default", "name": name, "version": version}
    started = {**sent, **given(input=input)}
    return _run("run", {"workflow": started}, await_, None)


def run_container(
    image: Text,
    *,
    name: Text | None = None,
    command: Text | None = None,
    arguments: Sequence[Text] | None = None,
    environment: Mapping[str, object] | None = None,
    ports: Mapping[str, object] | None = None,
    volumes: Mapping[str, object] | None = None,
    stdin: Text | None = None,
    lifetime: Mapping[str, Json] | None = None,
    pull_policy: Literal["ifNotPresent", "always", "never"] | None = None,
    await_: bool | None = None,
    return_: Return | None = None,
) -> Task:
    """Return a step that runs a container."""
    what = given(name=name, command=command, ports=ports, volumes=volumes)
    with_ = given(environment=environment, stdin=stdin, arguments=arguments)
    more = given(lifetime=lifetime, pullPolicy=pull_policy)
    container = {"image": image, **what, **with_, **more}
    return _run("container", {"container": container}, await_, return_)


def run_script(
    language: str,
    code: Text | None = None,
    *,
    source: Mapping[str, Json] | None = None,
    arguments: Sequence[Text] | Mapping[str, object] | None = None,
    environment: Mapping[str, object] | None = None,
    stdin: Text | None = None,
    await_: bool | None = None,
    return_: Return | None = None,
) -> Task:
    """Return a step that runs a script: its `code`, or that of the resource `source`."""
    with_ = given(stdin=stdin, arguments=arguments, environment=environment)
    script = {"language": language, **given(code=code, source=source), **with_}
    return _run("script", {"script": script}, await_, return_)


def run_shell(
    command: Text,
    *,
    arguments: Sequence[Text] | Mapping[str, object] | None = None,
    environment: Mapping[str, object] | None = None,
    stdin: Text | None = None,
    await_: bool | None = None,
    return_: Return | None = None,
) -> Task:
    """Return a step that runs a shell command."""
    with_ = given(stdin=stdin, arguments=arguments, environment=environment)
    return _run("shell", {"shell": {"command": command, **with_}}, await_, return_)


def _run(word: str, process: dict[str, Json], await_: bool | None, return_: str | None) -> Task:
    return task(word, run={**data(process), **given(await_=await_, return_=return_)})
