"""Our own Celery tasks: one that brings what waits for an instance, one that matches events,
one for every call that is not a Celery task."""

from __future__ import annotations

import itertools
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.clock import monotonic
from orchestrator.execution.context import in_hand, open_chain
from orchestrator.execution.requests import is_uuid
from orchestrator.execution.soft_limit import SoftLimit
from orchestrator.log import get_logger
from orchestrator.names import ADVANCE, CALL, MATCH

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.execution.chain import Chain
    from orchestrator.execution.execution import Execution
    from orchestrator.state_manager import Work

log = get_logger(__name__)

#: A hint is worth this long a wait for the database, in seconds; the beats give another one.
HINT_PATIENCE = 10.0

#: What an app's own defaults must not change about our tasks. An empty rate limit is none;
#: Celery takes None for "not said".
_OPTIONS: dict[str, Any] = {
    "shared": False,
    "ignore_result": True,
    "acks_late": False,
    "track_started": False,
    "rate_limit": "",
    "store_errors_even_if_ignored": False,
}


def register(app: Celery, execution: Execution) -> None:
    """Add our tasks to an app."""

    @app.task(name=ADVANCE, **_OPTIONS)
    def advance(*instances: str) -> None:
        """Bring what waits in the inboxes of these instances."""
        _advance(execution, instances)

    @app.task(name=MATCH, **_OPTIONS)
    def match(namespace: str) -> None:
        """Match the events of a namespace with those who wait for them."""
        _match(execution, namespace)

    @app.task(name=CALL, **_OPTIONS)
    def call(call: dict[str, Any]) -> Any:
        """Carry out a step's call that is not a Celery task."""
        return _perform(execution, call)

    execution.own(ADVANCE, lambda tracer: _with_chain(execution, tracer))
    execution.own(MATCH)
    execution.own(CALL)


def _with_chain(execution: Execution, tracer: Any) -> Any:
    """The tracer of a hint: what it took is run after it, outside its body and signals."""

    def trace_task(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        if not execution.running:
            return tracer(uuid, args, kwargs, request)
        from orchestrator.execution.chain import Chain

        limit = execution.app.tasks[ADVANCE].time_limit or None
        chain = Chain(execution, limit, SoftLimit(exists=False))
        # An app's default soft limit must not strike a transition.
        with SoftLimit(exists=execution.forks).shut_out():
            mark = open_chain.set(chain)
            try:
                result = tracer(uuid, args, kwargs, request)
            finally:
                open_chain.reset(mark)
            chain.go_on()
            return result

    return trace_task


def _advance(execution: Execution, instances: tuple[str, ...]) -> None:
    """The first of them now, the others in the chain: each after what came of the one before."""
    chain = open_chain.get()
    if chain is None:
        for instance in instances:
            _drain(execution, instance, None)
    elif instances:
        chain.share(len(instances))
        chain.then(*(partial(_drain_next, execution, each, chain) for each in instances[1:]))
        _drain(execution, instances[0], chain)


def _drain_next(execution: Execution, instance: str, chain: Chain) -> None:
    """As a task's own, its errors end nothing but itself."""
    try:
        _drain(execution, instance, chain)
    except Exception:
        log.exception("A hint could not be followed", action="hint_failed", instance=instance)


def _drain(execution: Execution, instance: str, chain: Chain | None) -> None:
    from orchestrator.execution.patience import GaveUp, persist
    from orchestrator.state_manager import new_token

    if not is_uuid(instance):
        log.warning("A hint that names no instance", action="hint_refused")
        return
    until = monotonic() + HINT_PATIENCE
    take = chain.take() if chain is not None else None
    state = execution.services.state

    def enough() -> bool:
        return execution.hands.stopping or monotonic() > until

    token, tries = new_token(), itertools.count()

    def drain() -> Work | None:
        return state.drain(instance, take, token, again=next(tries) > 0)

    try:
        following = persist(drain, "a hint", enough)
    except GaveUp:
        return
    if chain is not None:
        chain.following = following


def _match(execution: Execution, namespace: str) -> None:
    from orchestrator.execution.patience import GaveUp, persist

    until = monotonic() + HINT_PATIENCE
    with suppress(GaveUp):
        persist(
            lambda: execution.services.events.match(namespace),
            "a hint",
            lambda: execution.hands.stopping or monotonic() > until,
        )


def _perform(execution: Execution, call: dict[str, Any]) -> Any:
    from orchestrator.calls import perform
    from orchestrator.execution.arguments import context_of
    from orchestrator.execution.patience import persist

    hold = in_hand.get()
    if hold is None:
        raise RuntimeError("this task is for steps only")
    context = context_of(execution, hold.work)
    # What the call uses of them shall not show in a traceback or a log either.
    hold.hide(context.secrets)
    return persist(lambda: perform(call, context), "a call's expressions")
