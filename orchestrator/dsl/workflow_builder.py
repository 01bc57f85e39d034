"""`Workflow`: a document that code builds."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from orchestrator.dsl.build import Built, build
from orchestrator.dsl.deployment import checked, deployed
from orchestrator.dsl.document_task import Task, named_tasks, schema_of
from orchestrator.dsl.origin import origin
from orchestrator.dsl.policies import Authentication, Error, Retry, Schedule
from orchestrator.dsl.reader import workflow_body
from orchestrator.dsl.values import Duration, data, duration, given
from orchestrator.dsl.yaml_text import yaml_text

if TYPE_CHECKING:
    from orchestrator.client import AsyncClient, Client, Deployed

Json = Any
DSL = "1.0.3"


class Workflow:
    """A workflow: ``Workflow("shop/order").do(call(reserve, item=input.item), ...)``.

    It is never changed: every method returns another workflow.
    """

    def __init__(
        self,
        name: str,
        version: str = "1.0.0",
        *,
        title: str | None = None,
        summary: str | None = None,
        tags: Mapping[str, str] | None = None,
        dsl: str = DSL,
    ) -> None:
        namespace, _, own = name.rpartition("/")
        about = {"dsl": dsl, "namespace": namespace or "default", "name": own, "version": version}
        about |= given(title=title, summary=summary, tags=tags)
        self._body: dict[str, Json] = {"document": about, "do": []}
        self._place = origin()

    def __repr__(self) -> str:
        return f"<Workflow {self.name} {self.version}>"

    @property
    def name(self) -> str:
        """``"namespace/name"``"""
        about = self._body["document"]
        return f"{about['namespace']}/{about['name']}"

    @property
    def version(self) -> str:
        """The version."""
        return str(self._body["document"]["version"])

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the workflow itself."""
        return tuple(self._body["do"])

    # -- its parts ------------------------------------------------------------

    def do(self, *tasks: Task, **named: Task) -> Self:
        """Add tasks at the end. A keyword is the name of its task."""
        return self._with(do=[*self._body["do"], *named_tasks(tasks, named)])

    def input(self, value: object = None, *, schema: Json = None) -> Self:
        """Say what the input must fit, and what replaces it: there `this` is the input as it
        came."""
        return self._with(input=given(schema=schema_of(schema), **{"from": data(value)}))

    def output(self, value: object = None, *, schema: Json = None) -> Self:
        """Say what the output is, of which `result` is the last step's, and what it must fit."""
        return self._with(output=given(schema=schema_of(schema), **{"as": data(value)}))

    def timeout(self, after: Duration | None = None, *, use: str | None = None) -> Self:
        """Limit the time of an instance, or name a timeout of `use`."""
        return self._with(timeout=use if after is None else {"after": duration(after)})

    def schedule(self, schedule: Schedule) -> Self:
        """Start instances by `every`, `cron`, `after` or `on_events`."""
        return self._with(schedule=schedule)

    def evaluate(
        self, *, language: str | None = None, mode: Literal["strict", "loose"] | None = None
    ) -> Self:
        """Say how expressions are evaluated."""
        return self._with(evaluate=given(language=language, mode=mode))

    def metadata(self, **keys: object) -> Self:
        """Add metadata of the document, such as ``onFault="hold"``."""
        about = self._body["document"]
        merged = {**about.get("metadata", {}), **data(keys)}
        return self._with(document={**about, "metadata": merged})

    def use(
        self,
        *,
        authentications: Mapping[str, Authentication] | None = None,
        catalogs: Mapping[str, Mapping[str, Json]] | None = None,
        errors: Mapping[str, Error] | None = None,
        extensions: Mapping[str, Mapping[str, Json]] | None = None,
        functions: Mapping[str, Task] | None = None,
        retries: Mapping[str, Retry] | None = None,
        secrets: Sequence[str] | None = None,
        timeouts: Mapping[str, Duration] | None = None,
    ) -> Self:
        """Add what tasks refer to by name."""
        parts: dict[str, Json] = given(
            authentications=data(authentications),
            catalogs=data(catalogs),
            errors=data(errors),
            functions=functions,
            retries=retries,
            timeouts=timeouts and {n: {"after": duration(t)} for n, t in timeouts.items()},
        )
        use = dict(self._body.get("use", {}))
        for name, added in parts.items():
            use[name] = {**use.get(name, {}), **added}
        if extensions:
            use["extensions"] = [
                *use.get("extensions", []),
                *({n: e} for n, e in extensions.items()),
            ]
        if secrets:
            use["secrets"] = [*use.get("secrets", []), *secrets]
        return self._with(use=use)

    # -- the document -----------------------------------------------------------

    def document(self) -> dict[str, Json]:
        """Return the document as JSON. Raises `BuildError`."""
        return self._built().document

    def to_yaml(self) -> str:
        """Return the document as YAML. Raises `BuildError`."""
        return yaml_text(self.document())

    @classmethod
    def from_yaml(cls, source: str | bytes | Path) -> Self:
        """Return the workflow of a document: its text (YAML or JSON), or the path of its file.

        Raises `MalformedDocument` for text that can't be read, `InvalidDocument` for what is no
        workflow.
        """
        from orchestrator.document import load

        text = source.read_bytes() if isinstance(source, Path) else source
        return cls.from_document(load(text).document)

    @classmethod
    def from_document(cls, document: Mapping[str, Json]) -> Self:
        """Return the workflow of a valid document."""
        about = document["document"]
        made = cls(f"{about['namespace']}/{about['name']}", about["version"])
        made._body = workflow_body(document)
        return made

    def check(self) -> list[str]:
        """Check the document as a deployment does, without an API; return the warnings.

        Raises `BuildError` with the errors and their lines in the code.
        """
        return checked(self._built())

    @overload
    def deploy(self, client: Client, *, dry_run: bool = False) -> Deployed: ...
    @overload
    def deploy(self, client: AsyncClient, *, dry_run: bool = False) -> Awaitable[Deployed]: ...
    def deploy(self, client: Any, *, dry_run: bool = False) -> Any:
        """Deploy the document; with an `AsyncClient` await the answer. Repeating it changes
        nothing.

        Raises `BuildError` with the line of the code for an invalid document, `ApiError` 409 if the
        version is deployed with another content.
        """
        return deployed(client, self._built(), dry_run)

    def _built(self) -> Built:
        built = build(self._body)
        built.places[""] = self._place
        return built

    def _with(self, **keys: Json) -> Self:
        made = object.__new__(type(self))
        made._body = {**self._body, **keys}
        made._place = self._place
        return made


def extension(
    extend: str,
    *,
    when: object = None,
    before: Sequence[Task] | None = None,
    after: Sequence[Task] | None = None,
) -> dict[str, Json]:
    """Return an extension: tasks before and after every task of the kind `extend`."""
    around = given(before=before and list(before), after=after and list(after))
    return {"extend": extend, **given(when=data(when)), **around}
