"""The ledger of a test: what tasks did to the world outside, as their fakes report it.

    def charge(amount, order):                     # the fake of a payment service, in a test
        return effect("charge", key=current_step().idempotency_key, order=order)

    def refund(charge):
        effect("refund", undoes=charge, key=current_step().idempotency_key)

It answers a repeated key as before, and then nothing happens, as services do that know idempotency
keys. Changing requests over HTTP (`POST`, `PUT`, `PATCH`, `DELETE`) that a stub answers are effects
by themselves, with their header `Idempotency-Key`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.execution.context_variables import current_attempt
from orchestrator.testing.errors import TestingError

if TYPE_CHECKING:
    from orchestrator.state_manager.claimed_attempt import ClaimedAttempt
    from orchestrator.testing.http_stubs import HttpRequest


class Reporter(Protocol):
    """The worker of a test, which records effects."""

    def effect(
        self, claimed: ClaimedAttempt, name: str, details: Mapping[str, Any], **more: Any
    ) -> Effect:
        """Record an effect of the attempt that runs."""


_CHANGING = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Effect:
    """One effect. `id` is what `effect` returned. `happened` False: its key was known, or what it
    was to undo was not there.

    `undoes`: the ids of the effects that it was to undo. `undoable` False: nobody expects it to be
    undone (a mail). `instance`, `step` and `attempt` say who did it.
    """

    id: str
    name: str
    key: str | None
    details: tuple[tuple[str, Any], ...]
    instance: str
    step: int
    attempt: str
    undoes: tuple[str, ...] = ()
    undoable: bool = True
    happened: bool = True

    @property
    def identity(self) -> tuple[str, str]:
        """What makes two effects the same one: name, details, and what they undo."""
        return self.name, repr((self.details, self.undoes))

    def __str__(self) -> str:
        details = ", ".join(f"{name}={value!r}" for name, value in self.details)
        return f"{self.name}({details})"


class Ledger:
    """All effects of a test's instances, in their order."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self._keys: dict[tuple[str, str], str] = {}

    def __iter__(self) -> Iterator[Effect]:
        return iter(self.effects)

    def __len__(self) -> int:
        return len(self.happened())

    def happened(self, name: str | None = None) -> list[Effect]:
        """Return what really happened: without the answers to repeated keys."""
        return [one for one in self.effects if one.happened and name in (None, one.name)]

    def live(self, name: str | None = None) -> list[Effect]:
        """Return what happened, undoes nothing and was not undone."""
        gone = {id for one in self.effects for id in one.undoes}
        return [one for one in self.happened(name) if one.id not in gone and not one.undoes]

    def record(
        self,
        name: str,
        details: Mapping[str, Any],
        claimed: ClaimedAttempt,
        *,
        key: str | None,
        undoes: str | Iterable[str] | None,
        undoable: bool,
    ) -> Effect:
        """Record an effect of an attempt."""
        known = None if key is None else self._keys.get((name, key))
        targets = tuple(self._targets(undoes, details)) if known is None else ()
        one = Effect(
            known or f"{name}-{len(self.effects) + 1}",
            name,
            key,
            tuple(sorted(details.items())),
            claimed.instance_id,
            claimed.step.id,
            claimed.attempt.id,
            targets,
            # Record an effect that undoes others as one that cannot be undone: nobody undoes a
            # refund.
            undoable and undoes is None,
            known is None and (undoes is None or bool(targets)),
        )
        self.add(one)
        return one

    def add(self, one: Effect) -> None:
        """Add an effect that was recorded elsewhere (in a forked process)."""
        self.effects.append(one)
        if one.key is not None:
            self._keys.setdefault((one.name, one.key), one.id)

    def _targets(
        self, undoes: str | Iterable[str] | None, details: Mapping[str, Any]
    ) -> Iterator[str]:
        """Yield the effects to undo. By an id it is done again if it was done before, as a service
        does that is only told an id; by a name what stands is looked up, with the same details."""
        wanted = [undoes] if isinstance(undoes, str) else list(undoes or ())
        yield from (one.id for one in self.happened() if one.id in wanted)
        for one in self.live():
            own = dict(one.details)
            same = all(own[name] == value for name, value in details.items() if name in own)
            if one.name in wanted and same:
                yield one.id


def effect(
    name: str,
    *,
    key: str | None = None,
    undoes: str | Iterable[str] | None = None,
    undoable: bool = True,
    **details: Any,
) -> str:
    """Report an effect of the running step, from the fake of a service. Return its id.

    `key`: an idempotency key; a repeated one does nothing and returns the first effect's id.
    `undoes`: the id of the effect that this one undoes, or its name: then all of that name that
    stand and whose details agree; undoing what is not there does nothing. `undoable`: whether
    anybody expects it to be undone when the workflow fails.

    Raises:
        TestingError: no step of a test runs here.
    """
    running = current_attempt.get()
    worker: Reporter | None = getattr(running, "worker", None)
    if running is None or worker is None:
        raise TestingError("effect() belongs into the fakes of tests: no step of one runs here")
    return worker.effect(
        running.claimed, name, details, key=key, undoes=undoes, undoable=undoable
    ).id


def record_request(request: HttpRequest) -> None:
    """Record a request that a stub has answered, if it changes something."""
    if request.method in _CHANGING:
        headers = {name.lower(): value for name, value in request.headers.items()}
        effect(
            f"{request.method} {request.url}",
            key=headers.get("idempotency-key"),
            undoable=False,
            body=None if request.content is None else request.content.decode("utf-8", "replace"),
        )
