"""The values that the core takes and returns: facts and requests, never actions.

The core is a function, ``advance(workflow, slice, stimulus, evaluate) -> Transition``. A *slice* is
what one transition may read: the instance, the step that the stimulus concerns and that step's
ancestors. If a rare decision needs more (all open steps at a cancel, the outputs of a fork's
branches at its join), the core raises `DataNeeded`; the caller loads what is named, adds it to the
slice and calls again. So the core stays free of input and output, and the usual transition stays
small.

No value is ever changed in place: a changed step is a new value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Json = Any
"""A JSON value: None, bool, int, float, str, list, dict with string keys."""

ROOT = 0
"""The number that stands for the instance itself in place of a step's number."""


class Status(StrEnum):
    """The DSL's seven statuses (dsl.md, Status Phases), for instances and steps alike."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"
    FAULTED = "faulted"
    COMPLETED = "completed"


OPEN_STATUSES = frozenset({Status.PENDING, Status.RUNNING, Status.WAITING, Status.SUSPENDED})
ENDED_STATUSES = frozenset({Status.CANCELLED, Status.FAULTED, Status.COMPLETED})


class Compensation(StrEnum):
    """The state of an instance's compensation."""

    NONE = "none"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class AttemptState(StrEnum):
    """The states of an attempt: ready, claimed, then one of four ends."""

    READY = "ready"
    CLAIMED = "claimed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    WITHDRAWN = "withdrawn"


class StimulusKind(StrEnum):
    """The kinds of stimuli."""

    START = "start"
    RESULT = "result"  # an attempt ended: data = end_to_json(AttemptEnd)
    TIMER = "timer"  # data = {"kind": TimerKind}
    EVENT = "event"  # data = {"event": CloudEvent, "matches": [filter's index], "until": [...]}
    CHILD = "child"  # a sub-workflow ended, or answers a retry: see `core.parent_report`
    COMMAND = "command"  # data = {"command": "cancel" | ..., "reason", "by", ...}
    AGENDA = "agenda"  # the rest of the agenda after a bounded number of tasks


class TimerKind(StrEnum):
    """The purposes of timers. A step has at most one timer of each kind."""

    WAIT = "wait"
    TIMEOUT = "timeout"
    ATTEMPT = "attempt"  # a `try`'s limit.attempt.duration
    RETRY = "retry"
    START = "start"
    EXPIRY = "expiry"  # `metadata.expires`: a step that no worker has started faults


@dataclass(frozen=True, slots=True)
class Instance:
    """One execution of a workflow version; a row of ``instances``.

    `sequence` numbers the transitions: it is the number of the newest history row and the version
    that an optimistic save compares. `last_number` is the last number given to a new step or to
    a completion, so that the order of both is total within the instance. `open_places` counts the
    open steps without open children: one in a plain sequence, n while n branches run.
    `state` is the core's own memory (small, rewritten).
    """

    id: str
    namespace: str
    workflow_id: str
    status: Status = Status.PENDING
    compensation: Compensation = Compensation.NONE
    run: int = 1
    sequence: int = 0
    last_number: int = 0
    open_places: int = 0
    input: Json = None
    output: Json = None
    error: Json = None
    context: Json = None
    state: Json = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    parent_instance: str | None = None
    parent_step: int | None = None
    business_id: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One execution of a task within an instance; a row of ``steps``.

    `id` is unique within the instance and grows with the order of creation; `parent` is the step
    that contains it, or `ROOT`. `reference` is the task's JSON pointer in the document. `input` is
    the task's input after ``input.from``; `raw_input` is the value before it, stored only if it
    differs. `state` is the memory of the task's kind (small, rewritten); `scope` holds the
    variables that the step gives its descendants (loop variables, a caught error), fixed at its
    creation. `call` is the request to a worker (see `core.tasks.call`). `completion_number` orders
    completions. `compensated_by` says what can undo the step: "task" (the task under its
    ``metadata.compensate``), "child" (its sub-workflow undoes itself) or None; `compensates` is the
    number of the step that this one undoes. `outcome_unknown`: the task ran, or may have run,
    without a recorded result.
    """

    id: int
    parent: int
    reference: str
    kind: str
    status: Status = Status.RUNNING
    index: int | None = None
    input: Json = None
    raw_input: Json = None
    output: Json = None
    state: Json = None
    scope: Json = None
    call: Json = None
    error: Json = None
    open_children: int = 0
    completion_number: int | None = None
    compensated_by: str | None = None
    compensates: int | None = None
    outcome_unknown: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One delivery of a step to a worker; a row of ``attempts``.

    `id` is the Celery task id and the fence. `number` counts the attempts of the step; `starts`
    counts the claimed ones, this one included once it is claimed. `task` is the name of the Celery
    task. `time_limit` is in seconds.
    """

    id: str
    step: int
    number: int
    task: str
    starts: int = 1
    queue: str | None = None
    priority: int | None = None
    time_limit: float | None = None
    state: AttemptState = AttemptState.READY
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended, as a worker or the watchdog reports it (the data of a RESULT).

    `state` is succeeded, failed or lost. `retry_in` (seconds) is set if the Celery task asked for a
    retry of its own (`self.retry`), `arguments` if it asked for other arguments: ``{"args": [...],
    "kwargs": {...}}``. `outcome_unknown`: the task's effects may have happened. `leaves_chain`: the
    task ended the rest of its chain (`control_flow.LEAVE_CHAIN`). `replacement` is the sub-workflow
    by which the task replaced itself: ``{"workflow_id", "namespace", "input"}``.
    """

    attempt: str
    state: AttemptState
    output: Json = None
    error: Json = None
    traceback: str | None = None
    retry_in: float | None = None
    outcome_unknown: bool = False
    arguments: Json = None
    leaves_chain: bool = False
    replacement: Json = None


@dataclass(frozen=True, slots=True)
class Stimulus:
    """A reason for a transition. Time and randomness enter the core only here.

    `at` is the transition's time (UTC); `seed` is the source of every random choice and of every id
    made in this transition. `items` is how many items of the agenda the transition may run (None:
    as many as the bounds allow); the rest becomes stimuli. `is_undecidable`: its decision was begun
    several times and never finished, so that what it concerns faults instead.
    """

    kind: StimulusKind
    at: datetime
    seed: int
    step: int | None = None
    data: Mapping[str, Json] = field(default_factory=dict)
    ended: AttemptEnd | None = None
    id: int | None = None
    items: int | None = None
    is_undecidable: bool = False


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer of a step (or of the instance: step `ROOT`), due at `due_at`."""

    step: int
    kind: TimerKind
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Listener:
    """A step that waits for events.

    `filters` is the task's own list of filters (an empty one accepts every event). Their
    expressions are not evaluated yet: each event is matched against them, with `variables` as their
    arguments. `until` is None, or ``{"mode", "filters"}``: the events that end the listening, or
    ``{"expression"}``, which the core evaluates itself. `correlation` holds the values already
    bound, by the name of the correlation: an `expect`, or the value of the first event.
    `look_back`: how many seconds before the listener's start broadcast events are accepted; None:
    the installation's default.
    """

    step: int
    mode: str  # one, any, all
    filters: Json
    until: Json = None
    read: str = "data"
    correlation: Json = None
    variables: Json = None
    look_back: float | None = None


@dataclass(frozen=True, slots=True)
class NewInstance:
    """A sub-workflow to start. `state` is its first `Instance.state`."""

    id: str
    workflow_id: str
    namespace: str
    input: Json
    parent_step: int | None  # None: no step waits for it
    state: Json = None


@dataclass(frozen=True, slots=True)
class NewStimulus:
    """A stimulus for this instance (instance None) or for another one."""

    kind: StimulusKind
    instance: str | None = None
    step: int | None = None
    data: Json = None


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a transition did, in the past tense: ``task.completed``.

    The types are those of the DSL's lifecycle events without prefix and version (dsl.md, Lifecycle
    Events), and a few of the product's own.
    """

    type: str
    step: int | None = None
    data: Json = None


@dataclass(frozen=True, slots=True)
class ItemChunk:
    """A part of the items of a long `for`, stored apart so that no iteration loads all of them."""

    step: int
    index: int
    items: list[Json]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command was refused. `later`: it may fit after a running attempt has ended."""

    reason: str
    later: bool = False


@dataclass(frozen=True, slots=True)
class Transition:
    """All that one stimulus changed; saved in one statement or not at all."""

    instance: Instance
    created: tuple[Step, ...] = ()
    changed: tuple[Step, ...] = ()
    ended: tuple[AttemptEnd, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    withdrawn: tuple[int, ...] = ()  # steps whose open attempts are withdrawn
    timers: tuple[Timer, ...] = ()
    timers_removed: tuple[int, ...] = ()  # steps (or ROOT) whose timers are removed
    listeners: tuple[Listener, ...] = ()
    listeners_removed: tuple[int, ...] = ()  # steps whose listeners are removed
    emitted: tuple[Json, ...] = ()  # CloudEvents, as dicts
    children: tuple[NewInstance, ...] = ()
    stimuli: tuple[NewStimulus, ...] = ()
    facts: tuple[Fact, ...] = ()
    pruned: tuple[int, ...] = ()  # ended steps, to delete with all below them
    chunks: tuple[ItemChunk, ...] = ()
    dead_letters: tuple[Json, ...] = ()  # ``{"step", "reason", "error", ...}``
    letters_closed: tuple[Json, ...] = ()  # of restarted steps: ``{"step", "resolution"}``
    returned: tuple[tuple[int, int], ...] = ()  # events not consumed: (step, event's number)
    inputs: tuple[Json, ...] = ()  # the workflow's input if a retry has edited it (at most one)
    ignored: str | None = None  # why the stimulus changes nothing (stale, already ended)
    refused: Refusal | None = None  # a refused command; only history changes
    items: int | None = None  # after how many items the caller has ended the agenda, if it has


@dataclass(frozen=True, slots=True)
class Slice:
    """What a transition may read. `loaded` holds the answers to the needs raised so far.

    `steps` holds at least the step that the stimulus concerns, with all its ancestors; `attempt` is
    the attempt that the stimulus concerns, if there is one.
    """

    instance: Instance
    steps: Mapping[int, Step] = field(default_factory=dict)
    attempt: Attempt | None = None
    loaded: Mapping[Need, Any] = field(default_factory=dict)

    @property
    def has_one_place(self) -> bool:
        """Whether at most one place of the instance can still move. No other process is then
        likely to change it, so that an optimistic save is cheaper than the row lock."""
        return self.instance.open_places <= 1


@dataclass(frozen=True, slots=True)
class Need:
    """Something that the slice lacks.

    ``open``: every open step of the instance with its newest attempt if it has an open
    one: ``[(Step, Attempt | None)]``. The attempts stay locked until the transition is saved.

    ``children`` of step n: ``[Step]``, those whose parent is n, by id, without input.

    ``items`` (n, index): the part of a long `for` that holds item `index`: `ItemChunk`.

    ``undo`` before d: the step with the greatest `completion_number` below d whose `compensated_by`
    is set and which has completed, whose outcome is unknown, or which is a sub-workflow's
    (`compensated_by` is "child"), or None, with its ancestors: ``(Step | None, {id: Step})``.

    ``stopped`` run: every step that the end of that run stopped, by id: ``[Step]``, those whose
    `state` has ``"stopped": run``.

    ``step`` n: that step and its ancestors ``{id: Step}`` (empty if there is none).

    ``attempt`` n: the newest attempt of step n, or None.

    ``workflow`` (namespace, name, version): the id of that version (the newest if version
    is "latest"), or None; also None if this namespace may not start it.

    ``tree`` (root): whether the tree of instances below that root may start another one: bool.

    ``secrets`` names: ``{name: value}`` of those that exist (needed only if the document
    lets secrets into data).
    """

    what: str
    args: tuple[Any, ...] = ()


class DataNeeded(Exception):
    """Raised by the core: load `need`, add it to the slice, call again."""

    def __init__(self, need: Need) -> None:
        super().__init__(f"the slice lacks {need.what} {need.args}")
        self.need = need
