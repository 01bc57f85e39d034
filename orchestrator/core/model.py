"""The values that the core takes and returns. They are facts and requests, never actions.

The core is a function, ``advance(workflow, slice, stimulus, evaluate) -> Transition``.
A *slice* is what one transition may look at: the instance, the step that the stimulus
concerns and that step's ancestors. Where a rare decision needs more (all the open steps
at a cancel, the outputs of a fork's branches at its join), the core raises `DataNeeded`; the
caller loads what is named, adds it to the slice and calls again. So the core stays free
of input and output, and the usual transition stays small.

Nothing in here is ever changed in place: a changed step is a new value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Json = Any
"""What JSON can say: None, bool, int, float, str, list, dict with string keys."""

ROOT = 0
"""The number that stands for the instance itself where a step's number is expected."""


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
    """Where the undoing of an instance's completed steps stands."""

    NONE = "none"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class AttemptState(StrEnum):
    """The life of an attempt: ready, claimed, then one of four ends."""

    READY = "ready"
    CLAIMED = "claimed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    WITHDRAWN = "withdrawn"


class StimulusKind(StrEnum):
    """What can tell an instance something."""

    START = "start"
    RESULT = "result"  # an attempt ended: data = Ended.to_json()
    TIMER = "timer"  # data = {"kind": TimerKind}
    EVENT = "event"  # data = {"event": CloudEvent, "matches": [filter's index], "until": [...]}
    CHILD = "child"  # a sub-workflow ended, or answers a retry: see `core.reports`
    COMMAND = "command"  # data = {"command": "cancel" | ..., "reason", "by", ...}
    AGENDA = "go_on"  # the instance's own note to itself after a bounded number of tasks


class TimerKind(StrEnum):
    """Why a timer was armed. A step has at most one of each kind."""

    WAIT = "wait"
    TIMEOUT = "timeout"
    ATTEMPT = "attempt"  # a `try`'s limit.attempt.duration
    RETRY = "retry"
    START = "start"


@dataclass(frozen=True, slots=True)
class Instance:
    """One run of a workflow version; a row of ``instances``.

    `sequence` numbers the transitions: it is the number of the newest history row and the
    version that an optimistic save compares. `counter` is the last number given to a new
    step or to a completion, so that the order of both is total within the instance.
    `open` counts the open steps without open children, in other words the places where
    something must still happen: one in a plain sequence, n while n branches run.
    `state` is the core's own memory (small, rewritten).
    """

    id: str
    namespace: str
    workflow_id: str
    status: Status = Status.PENDING
    compensation: Compensation = Compensation.NONE
    run: int = 1
    sequence: int = 0
    counter: int = 0
    open: int = 0
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

    `id` is unique within the instance and grows with the order of creation; `parent` is
    the step that contains it, or `ROOT`. `ref` is the task's JSON pointer in the document.
    `input` is the task's input after ``input.from``; `raw_input` is what came before that,
    kept only where it differs. `state` is what the task's kind needs to remember (small,
    rewritten); `scope` holds the variables that it gives its descendants (loop variables,
    a caught error), fixed at its creation. `open` counts children that must still end.
    `call` is what is asked of a worker: see `Call`. `done` orders completions.
    `undo` says that the step, once completed, can be compensated; `undoes` is the
    number of the step that this one compensates. `unknown` marks an outcome nobody knows.
    """

    id: int
    parent: int
    ref: str
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
    open: int = 0
    done: int | None = None
    undo: str | None = None
    undoes: int | None = None
    unknown: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One handing-off of a step to a worker; a row of ``attempts``.

    `id` is the Celery task id and the fence. `number` counts the attempts of the step;
    `starts` counts those that were claimed, this one included once it is.
    `task` is the name of the Celery task that carries it out.
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
    """How an attempt ended, as a worker or the watchdog tells it (the data of a RESULT).

    `state` is succeeded, failed or lost. `retry_in` (seconds) is set where a Celery task
    asked for a retry of its own (`self.retry`), `arguments` where it asked for other ones for
    it: ``{"args": [...], "kwargs": {...}}``. `unknown`: nobody can say whether the task's
    effects happened.
    """

    attempt: str
    state: AttemptState
    output: Json = None
    error: Json = None
    traceback: str | None = None
    retry_in: float | None = None
    unknown: bool = False
    arguments: Json = None


@dataclass(frozen=True, slots=True)
class Stimulus:
    """A reason for a transition. Time and randomness enter the core here and nowhere else.

    `at` is the transition's time (UTC); `seed` is the source of every random choice and of
    every id made in this transition. `items` is how many items of the agenda are worked off in
    it; None: as many as the limits allow. What is left becomes notes.
    """

    kind: StimulusKind
    at: datetime
    seed: int
    step: int | None = None
    data: Mapping[str, Json] = field(default_factory=dict)
    ended: AttemptEnd | None = None
    id: int | None = None
    items: int | None = None


@dataclass(frozen=True, slots=True)
class Timer:
    """Something falls due for a step (or for the instance: step `ROOT`) at `due_at`."""

    step: int
    kind: TimerKind
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Listener:
    """A step waits for events.

    `filters` is the task's own list of filters (an empty one takes every event), the
    expressions in it not yet evaluated: they are matched against each event, with
    `variables` as their arguments. `until` is None, or ``{"mode", "filters"}``: the events
    that end the listening, or ``{"expression"}``, which the core evaluates itself.
    `correlation` holds the values already bound, by the name of the correlation: an
    `expect`, or what the first event had. `look_back`: how long before it the broadcast events
    may be that it takes, in s; None: as long as the installation has it.
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
    """A sub-workflow to start. `state` is the first `Instance.state` of it."""

    id: str
    workflow_id: str
    namespace: str
    input: Json
    parent_step: int | None  # None: nobody waits for it
    state: Json = None


@dataclass(frozen=True, slots=True)
class NewStimulus:
    """A durable note to this instance (instance None) or to another one."""

    kind: StimulusKind
    instance: str | None = None
    step: int | None = None
    data: Json = None


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the story of a transition, in the past tense: ``task.completed``.

    The types are those of the DSL's lifecycle events without prefix and version
    (dsl.md, Lifecycle Events), and a few of ours.
    """

    type: str
    step: int | None = None
    data: Json = None


@dataclass(frozen=True, slots=True)
class ItemChunk:
    """A stretch of the items of a long `for`, stored apart so that no iteration pays
    for all of them."""

    step: int
    index: int
    items: list[Json]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command was refused. `later`: what stands against it still runs and will end."""

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
    pruned: tuple[int, ...] = ()  # ended steps (with all below them) to forget
    chunks: tuple[ItemChunk, ...] = ()
    dead_letters: tuple[Json, ...] = ()  # ``{"step", "reason", "error", ...}``
    letters_closed: tuple[
        Json, ...
    ] = ()  # dead letters of steps begun anew: ``{"step", "resolution"}``
    returned: tuple[tuple[int, int], ...] = ()  # events not consumed: (step, event's number)
    inputs: tuple[Json, ...] = ()  # the workflow's input, where a retry has edited it: one
    ignored: str | None = None  # why the stimulus changes nothing (stale, already ended)
    refused: Refusal | None = None  # of a command: only the history says so


@dataclass(frozen=True, slots=True)
class Slice:
    """What a transition may look at. `loaded` answers the needs raised so far.

    `steps` holds at least the step that the stimulus concerns, with all its ancestors;
    `attempt` is the attempt that the stimulus concerns, where there is one.
    """

    instance: Instance
    steps: Mapping[int, Step] = field(default_factory=dict)
    attempt: Attempt | None = None
    loaded: Mapping[Need, Any] = field(default_factory=dict)

    @property
    def has_one_place(self) -> bool:
        """Whether at most one place of the instance can still move. No other process is then
        likely to change it, so that an optimistic save is cheaper than the row lock."""
        return self.instance.open <= 1


@dataclass(frozen=True, slots=True)
class Need:
    """Something that the slice lacks.

    ``open``: every open step of the instance with its newest attempt if it has an open
    one: ``[(Step, Attempt | None)]``. The attempts stay locked until the transition is saved.
    ``children`` of step n: ``[Step]``, those whose parent is n, by id, input left out.
    ``items`` (n, index): the stretch of a long `for` that holds item `index`: `ItemChunk`.
    ``undo`` before d: the step with the greatest `done` below d whose `undo` is set and which
    has completed, whose outcome is unknown, or which is a sub-workflow's (`undo` is "child"),
    or None, with its ancestors:
    ``(Step | None, {id: Step})``.
    ``stopped`` run: every step that the end of that run stopped, by id: ``[Step]``, those whose
    `state` has ``"stopped": run``.
    ``step`` n: that step and its ancestors ``{id: Step}`` (empty if there is none).
    ``attempt`` n: the newest attempt of step n, or None.
    ``workflow`` (namespace, name, version): the id of that version (the newest if version
    is "latest"), or None; also None where this namespace may not start it.
    ``secrets`` names: ``{name: value}`` of those that exist (asked only where the document
    lets secrets into data).
    """

    what: str
    args: tuple[Any, ...] = ()


class DataNeeded(Exception):
    """Raised by the core: load `need`, add it to the slice, call again."""

    def __init__(self, need: Need) -> None:
        super().__init__(f"the slice lacks {need.what} {need.args}")
        self.need = need
