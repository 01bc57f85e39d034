"""`durable(canvas).start()`: run a Celery canvas as a workflow.

result = durable(chain(reserve.s(item), charge.s(card))).start()
result.get(timeout=30)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from orchestrator.canvas.document import VERSION, Converted, convert
from orchestrator.canvas.errors import CanvasRefused
from orchestrator.canvas.process_client import process_client
from orchestrator.canvas.result import DurableResult
from orchestrator.canvas.signatures import read, read_row
from orchestrator.json_codec import NotJson, celery_values

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.client import Client, Run

#: Documents that this process has deployed: the API's address, namespace, name.
_deployed: set[tuple[str, str, str]] = set()

_NOT_FOUND = 404


class Durable:
    """A canvas that runs as a workflow. Made by `durable`."""

    def __init__(
        self,
        canvas: Any,
        *,
        namespace: str = "default",
        fail_fast: bool = False,
        finally_: Any = None,
        client: Client | None = None,
    ) -> None:
        self.canvas = canvas
        self._namespace = namespace
        self._fail_fast = fail_fast
        self._finally = finally_
        self._client = client

    def document(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Converted:
        """Return the document of this canvas and its input, without starting anything.

        Raises `CanvasRefused` for what has no durable form.
        """
        if isinstance(self.canvas, list | tuple):
            if args or kwargs:
                raise CanvasRefused("a plain row takes no arguments: give them to its tasks")
            shape = read_row(self.canvas)
        else:
            shape = read(self.canvas, args, kwargs)
        closing = None if self._finally is None else read(self._finally)
        return convert(shape, namespace=self._namespace, fail_fast=self._fail_fast, closing=closing)

    def start(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        business_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        wait: float | None = None,
    ) -> DurableResult:
        """Start it. `args` and `kwargs` are those of ``apply_async``; with `wait`, wait so many
        seconds for its end. The first start of a canvas deploys its document.

        Raises:
            CanvasRefused: it has no durable form; the text says why.
            NotJson: a value can't be encoded by Celery's JSON.
            UnknownTask: under `task_always_eager`, a task that this process does not have.
            ApiError: the API refuses it: 409 if `business_id` is in use, 413 if it is too large.
        """
        eager = _eager_app(self.canvas)
        converted = self.document(args, kwargs)
        options = {
            "version": VERSION,
            "business_id": business_id,
            "labels": labels,
            "idempotency_key": idempotency_key,
            "wait": wait,
        }
        client = _eager_client(eager) if eager is not None else self._client or process_client()
        run = _start(client, converted, self._namespace, _encoded(converted.input), options)
        result = DurableResult(run.id, client)
        if eager is not None and eager.conf.task_eager_propagates:
            result.get()
        return result

    def delay(self, *args: Any, **kwargs: Any) -> DurableResult:
        """Start it with these arguments."""
        return self.start(args, kwargs)


class _DurableFactory:
    """``durable(canvas)``, and ``durable.delay(signature, ...)``."""

    def __call__(
        self,
        canvas: Any,
        *,
        namespace: str = "default",
        fail_fast: bool = False,
        finally_: Any = None,
        client: Client | None = None,
    ) -> Durable:
        """Return the durable form of a signature, chain, group, chord or list of signatures.

        `fail_fast`: a failed member of a group withdraws the others; else they run to their end,
        as in Celery. `finally_`: a signature that runs at the end, whether the canvas has failed or
        not. `client`: by default one made from the settings.
        """
        return Durable(
            canvas, namespace=namespace, fail_fast=fail_fast, finally_=finally_, client=client
        )

    def delay(self, signature: Any, *args: Any, **kwargs: Any) -> DurableResult:
        """Start a signature, or a task, with these arguments."""
        task = signature if hasattr(signature, "subtask_type") else None
        canvas = signature if task is not None or isinstance(signature, dict) else signature.s()
        return self(canvas).start(args, kwargs)


durable = _DurableFactory()


def _encoded(values: dict[str, Any]) -> Any:
    try:
        return celery_values.encode(values)
    except NotJson:
        for name, value in values.items():
            _encode_named(name, value)
        raise


def _encode_named(name: str, value: Any) -> None:
    """Raise `NotJson` with the name of the step whose arguments can't be encoded."""
    try:
        celery_values.encode(value)
    except NotJson as error:
        raise NotJson(f"the arguments of {name}: {error}") from None


def _start(
    client: Client, converted: Converted, namespace: str, input: Any, options: dict[str, Any]
) -> Run:
    from orchestrator.client import ApiError

    key = (client.transport.url, namespace, converted.name)
    known = key in _deployed
    if not known:
        client.deploy(converted.document)
        _deployed.add(key)
    try:
        return client.start(f"{namespace}/{converted.name}", input, **options)
    except ApiError as error:
        if error.status != _NOT_FOUND or not known:
            raise
    # The API does not have the version that this process deployed earlier: it removes versions that
    # are not used for a week. Deploy the version again.
    client.deploy(converted.document)
    return client.start(f"{namespace}/{converted.name}", input, **options)


def _eager_app(canvas: Any) -> Celery | None:
    """Return the app of a canvas that runs at once in this process (`task_always_eager`)."""
    first = canvas[0] if isinstance(canvas, list | tuple) and canvas else canvas
    app: Celery | None = getattr(first, "app", None)
    return app if app is not None and app.conf.task_always_eager else None


def _eager_client(app: Celery) -> Client:
    """Return the client that needs no API. The engine of tests is above this package: its module is
    named here, and no other part of this package reaches it."""
    client: Client = import_module("orchestrator.testing.eager").client_of(app)
    return client
