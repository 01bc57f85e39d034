"""Bodies and answers of the API, as it describes them."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Json = Any


class Accepted(TypedDict):
    """``Accepted`` of the API."""

    id: str
    command: str
    status: Literal[
        "pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"
    ]
    compensation: Literal["none", "running", "completed", "failed"]
    run: int
    decided: bool


class AcceptedEvent(TypedDict):
    """``AcceptedEvent`` of the API."""

    id: str
    duplicate: bool


class Attempt(TypedDict):
    """``Attempt`` of the API."""

    id: str
    number: int
    state: Literal["ready", "claimed", "succeeded", "failed", "lost", "withdrawn"]
    withdrawn: bool
    task: str
    queue: str
    priority: int | None
    worker: str | None
    worker_id: str | None
    process: int | None
    created_at: str
    published_at: str | None
    claimed_at: str | None
    ended_at: str | None
    error: Json
    because: LossReason | None
    late: Late | None
    flower_url: str | None
    progress: Json
    traceback: str | None


class AttemptSummary(TypedDict):
    """``AttemptSummary`` of the API."""

    id: str
    number: int
    state: Literal["ready", "claimed", "succeeded", "failed", "lost", "withdrawn"]
    withdrawn: bool
    task: str
    queue: str
    priority: int | None
    worker: str | None
    worker_id: str | None
    process: int | None
    created_at: str
    published_at: str | None
    claimed_at: str | None
    ended_at: str | None
    error: Json
    because: LossReason | None
    late: Late | None
    flower_url: str | None


class Audit(TypedDict):
    """``Audit`` of the API."""

    items: list[Entry]
    next: str | None


Backfill = TypedDict("Backfill", {"reason": "NotRequired[str | None]", "from": "str", "to": "str"})


class Backfilled(TypedDict):
    """``Backfilled`` of the API."""

    items: list[Firing]


class Becomes(TypedDict):
    """``Becomes`` of the API."""

    status: Literal[
        "pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"
    ]
    compensation: Literal["none", "running", "completed", "failed"]
    run: int


class Block(TypedDict):
    """``Block`` of the API."""

    reference: str
    name: str
    kind: str
    summary: str
    then: NotRequired[str]
    body: NotRequired[list[Block]]
    branches: NotRequired[list[list[Block]]]
    catch: NotRequired[list[Block]]
    cases: NotRequired[list[Case]]
    undo: NotRequired[Block]
    quiet: NotRequired[bool]


class Case(TypedDict):
    """``Case`` of the API."""

    name: str
    when: str | None
    then: str


class Cause(TypedDict):
    """``Cause`` of the API."""

    kind: Literal[
        "ended",
        "moving",
        "engine",
        "suspended",
        "broker",
        "no-control",
        "inbox",
        "stuck",
        "no-worker",
        "no-task",
        "no-processes",
        "no-slot",
        "unpublished",
        "delivery",
        "running",
        "silent-worker",
        "lease",
        "withdrawn",
        "workflow",
        "timer",
        "retry",
        "no-beat",
        "event",
        "event-came",
        "compensating",
        "dead-letter",
        "unknown-outcome",
        "repaired-child",
    ]
    message: str
    tone: Literal["calm", "soon", "alarm"]
    step: NotRequired[int | None]
    reference: NotRequired[str | None]
    since: NotRequired[str | None]
    until: NotRequired[str]
    queue: NotRequired[str]
    worker: NotRequired[str]
    workers: NotRequired[bool]
    instance: NotRequired[str]
    dead_letter: NotRequired[str]
    app: NotRequired[str | None]
    meant: NotRequired[str]
    filters: NotRequired[list[dict[str, Json]]]


class ChangeSchedule(TypedDict):
    """``ChangeSchedule`` of the API."""

    reason: NotRequired[str | None]
    paused: bool


class ChangeSubscription(TypedDict):
    """``ChangeSubscription`` of the API."""

    state: NotRequired[Literal["active", "paused"]]
    description: NotRequired[str | None]
    filter: NotRequired[dict[str, Json]]
    webhook: NotRequired[Webhook]


class Command(TypedDict):
    """``Command`` of the API."""

    reason: NotRequired[str | None]


class CommandPlan(TypedDict):
    """``CommandPlan`` of the API."""

    keeps: list[KeptStep]
    runs: list[PlannedStep]
    undoes: list[UndoneStep]
    becomes: Becomes | None
    warnings: list[str]


class Compensate(TypedDict):
    """``Compensate`` of the API."""

    reason: NotRequired[str | None]
    step: NotRequired[int]


class Compensation(TypedDict):
    """``Compensation`` of the API."""

    compensation: Literal["none", "running", "completed", "failed"]
    plan: list[PlannedUndo]
    running: list[PlannedUndo]
    undone: list[Step]


class CompensationDecision(TypedDict):
    """``CompensationDecision`` of the API."""

    reason: NotRequired[str | None]
    step: int
    action: Literal["retry", "resolve"]


class Count(TypedDict):
    """``Count`` of the API."""

    status: Literal[
        "pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"
    ]
    count: int
    exact: bool


class Counts(TypedDict):
    """``Counts`` of the API."""

    items: list[Count]
    facets: NotRequired[dict[str, list[Facet]]]


class CurrentStep(TypedDict):
    """``CurrentStep`` of the API."""

    step: int
    name: str
    reference: str
    attempt: int | None
    max: int | None
    retry_at: str | None


class DeadLetter(TypedDict):
    """``DeadLetter`` of the API."""

    id: str
    created_at: str
    namespace: str
    instance: str
    step: int
    reference: str | None
    kind: str | None
    reason: Literal["compensation", "lost", "undecided", "start"]
    error: Json
    resolved_at: str | None
    resolution: Json
    request: NotRequired[Json]


class DeadLetters(TypedDict):
    """``DeadLetters`` of the API."""

    items: list[DeadLetter]
    next: str | None


class Deliveries(TypedDict):
    """``Deliveries`` of the API."""

    items: list[Delivery]
    next: str | None


class Delivery(TypedDict):
    """``Delivery`` of the API."""

    id: str
    subscription: str
    event: str | None
    type: str | None
    ordering: str | None
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    next_at: str | None
    until: str
    status: int | None
    error: str | None
    instance: str | None
    created_at: str
    ended_at: str | None


class Deployed(TypedDict):
    """``Deployed`` of the API."""

    namespace: str
    name: str
    version: str
    digest: str
    created_at: str | None
    outcome: Literal["created", "unchanged", "conflict"]
    warnings: list[ErrorItem]
    graph: NotRequired[Graph]


class Diff(TypedDict):
    """``Diff`` of the API."""

    lines: list[DiffLine]
    changes: list[str]


DiffLine = TypedDict(
    "DiffLine",
    {"op": "Literal[' ', '+', '-']", "from": "int | None", "to": "int | None", "text": "str"},
)


class Doctor(TypedDict):
    """``Doctor`` of the API."""

    checked_at: str
    findings: list[Finding]
    passed: list[Passed]


class DryRun(TypedDict):
    """``DryRun`` of the API."""

    action: str
    matches: int
    sample: list[Json]


class Due(TypedDict):
    """``Due`` of the API."""

    due: str
    fires_at: str


class Entry(TypedDict):
    """``Entry`` of the API."""

    id: int
    at: str
    namespace: str | None
    actor: str
    action: str
    target: str | None
    reason: str | None
    details: Json
    address: str | None


class Error(TypedDict):
    """``Error`` of the API."""

    code: NotRequired[int]
    status: NotRequired[str]
    message: NotRequired[str]
    errors: NotRequired[dict[str, Json]]


class ErrorItem(TypedDict):
    """``ErrorItem`` of the API."""

    message: str
    pointer: NotRequired[str | None]
    parameter: NotRequired[str]
    line: NotRequired[int | None]
    column: NotRequired[int | None]
    instance: NotRequired[str]


class Event(TypedDict):
    """``Event`` of the API."""

    id: str
    namespace: str
    event: Json
    instance: str | None
    target: str | None
    created_at: str
    matched_at: str | None
    matches: list[Match]


class EventCause(TypedDict):
    """``EventCause`` of the API."""

    kind: Literal["consumed", "refused", "no-control", "matching", "not-matched", "no-listener"]
    message: str
    instance: NotRequired[str]
    step: NotRequired[int | None]
    queue: NotRequired[str]
    workers: NotRequired[bool]
    meant: NotRequired[str]


class EventPlan(TypedDict):
    """``EventPlan`` of the API."""

    duplicate: bool
    listeners: list[HearingListener]
    more: int
    mailbox: bool
    starts: list[EventStart]
    webhooks: list[HearingWebhook]
    warnings: list[str]


class EventStart(TypedDict):
    """``EventStart`` of the API."""

    workflow: HearingWorkflow
    by: Literal["schedule", "subscription"]
    id: str
    certain: bool


class EventSummary(TypedDict):
    """``EventSummary`` of the API."""

    id: str
    namespace: str
    event: Json
    instance: str | None
    target: str | None
    created_at: str
    matched_at: str | None


class EventWhy(TypedDict):
    """``EventWhy`` of the API."""

    id: str
    namespace: str
    causes: list[EventCause]


class Events(TypedDict):
    """``Events`` of the API."""

    items: list[EventSummary]
    next: str | None


class Facet(TypedDict):
    """``Facet`` of the API."""

    value: str
    title: NotRequired[str]
    count: int
    exact: bool


class Fact(TypedDict):
    """``Fact`` of the API."""

    type: str
    step: int | None
    data: Json


class Finding(TypedDict):
    """``Finding`` of the API."""

    kind: str
    severity: Literal["error", "warning", "note"]
    message: str
    advice: str | None
    instance: str | None
    business_id: str | None
    step: int | None


class Firing(TypedDict):
    """``Firing`` of the API."""

    due: str
    reason: Literal["schedule", "manual", "backfill", "event"]
    outcome: Literal["started", "queued", "skipped"]
    why: str | None
    since: str | None
    fires_at: str
    fired_at: str | None
    delay_seconds: float | None
    instance: str | None
    version: str


class Firings(TypedDict):
    """``Firings`` of the API."""

    items: list[Firing]
    next: str | None


class Graph(TypedDict):
    """``Graph`` of the API."""

    nodes: list[Block]


class HearingListener(TypedDict):
    """``HearingListener`` of the API."""

    instance: str
    business_id: str | None
    workflow: HearingWorkflow
    step: int
    name: str
    reference: str


class HearingWebhook(TypedDict):
    """``HearingWebhook`` of the API."""

    id: str
    description: str | None


class HearingWorkflow(TypedDict):
    """``HearingWorkflow`` of the API."""

    namespace: str
    name: str
    version: NotRequired[str]


class History(TypedDict):
    """``History`` of the API."""

    items: list[Transition]
    next: str | None


class Instance(TypedDict):
    """``Instance`` of the API."""

    id: str
    business_id: str | None
    workflow: WorkflowOf
    status: Literal[
        "pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"
    ]
    compensation: Literal["none", "running", "completed", "failed"]
    run: int
    labels: dict[str, str]
    created_at: str
    started_at: str | None
    ended_at: str | None
    pending_commands: int
    parent: Parent | None
    input: Json
    output: Json
    error: Json
    context: Json
    waiting_for: list[Waiting]
    steps: NotRequired[list[CurrentStep]]
    why: NotRequired[ShortCause | None]
    changed_at: NotRequired[str | None]


class InstanceGraph(TypedDict):
    """``InstanceGraph`` of the API."""

    nodes: list[Block]
    states: dict[str, dict[str, int]]


class InstanceSummary(TypedDict):
    """``InstanceSummary`` of the API."""

    id: str
    business_id: str | None
    workflow: WorkflowOf
    status: Literal[
        "pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"
    ]
    compensation: Literal["none", "running", "completed", "failed"]
    run: int
    labels: dict[str, str]
    created_at: str
    started_at: str | None
    ended_at: str | None
    pending_commands: int
    parent: Parent | None


class Instances(TypedDict):
    """``Instances`` of the API."""

    items: list[ListedInstance]
    next: str | None


class KeptStep(TypedDict):
    """``KeptStep`` of the API."""

    step: int
    name: str
    reference: str


class Key(TypedDict):
    """``Key`` of the API."""

    id: str
    prefix: str
    name: str
    role: Literal["viewer", "operator", "admin"]
    namespaces: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class Keys(TypedDict):
    """``Keys`` of the API."""

    items: list[Key]
    next: str | None


class Late(TypedDict):
    """``Late`` of the API."""

    at: str
    state: Literal["succeeded", "failed"]


class Links(TypedDict):
    """``Links`` of the API."""

    flower: str | None


class ListedInstance(TypedDict):
    """``ListedInstance`` of the API."""

    id: str
    business_id: str | None
    workflow: WorkflowOf
    status: Literal[
        "pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"
    ]
    compensation: Literal["none", "running", "completed", "failed"]
    run: int
    labels: dict[str, str]
    created_at: str
    started_at: str | None
    ended_at: str | None
    pending_commands: int
    parent: Parent | None
    steps: list[CurrentStep]
    why: ShortCause | None
    error: ShortError | None
    changed_at: str | None


class ListedWorkflow(TypedDict):
    """``ListedWorkflow`` of the API."""

    namespace: str
    name: str
    version: str
    title: str | None
    summary: str | None
    created_at: str


class Listener(TypedDict):
    """``Listener`` of the API."""

    created_at: str
    instance: str
    step: int
    namespace: str
    mode: str
    filters: Json
    correlation: Json
    reference: str | None


class Listeners(TypedDict):
    """``Listeners`` of the API."""

    items: list[Listener]
    next: str | None


class LossReason(TypedDict):
    """``LossReason`` of the API."""

    kind: Literal["lease", "child-exit", "limit"]
    signal: str | None
    exit: int | None


class Match(TypedDict):
    """``Match`` of the API."""

    instance: str
    step: int | None
    refused: bool
    at: str


class Me(TypedDict):
    """``Me`` of the API."""

    name: str
    role: Literal["viewer", "operator", "admin"]
    namespaces: list[str] | None
    authentication: Literal["off", "key", "session"]
    expires_at: str | None
    version: str | None
    links: Links


class NamedSecret(TypedDict):
    """``NamedSecret`` of the API."""

    namespace: str
    name: str
    created_at: str
    changed_at: str


class Namespace(TypedDict):
    """``Namespace`` of the API."""

    name: str
    workflows: int


class Namespaces(TypedDict):
    """``Namespaces`` of the API."""

    items: list[Namespace]
    next: str | None


class NewKey(TypedDict):
    """``NewKey`` of the API."""

    name: str
    role: Literal["viewer", "operator", "admin"]
    namespaces: list[str]
    expires_at: NotRequired[str | None]


class NewKeySecret(TypedDict):
    """``NewKeySecret`` of the API."""

    id: str
    prefix: str
    name: str
    role: Literal["viewer", "operator", "admin"]
    namespaces: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    key: str | None


class NewOperation(TypedDict):
    """``NewOperation`` of the API."""

    reason: NotRequired[str | None]
    action: Literal[
        "suspend",
        "resume",
        "cancel",
        "terminate",
        "retry",
        "compensate",
        "dead-letter.retry",
        "dead-letter.resolve",
    ]
    filter: dict[str, str]
    dry_run: NotRequired[bool]


class NewSubscription(TypedDict):
    """``NewSubscription`` of the API."""

    namespace: NotRequired[str]
    description: NotRequired[str | None]
    filter: dict[str, Json]
    webhook: NotRequired[Webhook]
    workflow: NotRequired[Starts]


class NewSubscriptionSecret(TypedDict):
    """``NewSubscriptionSecret`` of the API."""

    id: str
    namespace: str
    description: str | None
    filter: Json
    webhook: SentTo | None
    workflow: Starts | None
    state: Literal["active", "paused", "disabled"]
    reason: str | None
    failures: int
    failing_since: str | None
    created_at: str
    changed_at: str
    secret: str | None


class Operation(TypedDict):
    """``Operation`` of the API."""

    id: str
    action: str
    filter: dict[str, str]
    namespaces: list[str] | None
    reason: str | None
    by: str
    state: Literal["pending", "running", "completed", "stopped", "failed"]
    matches: int
    reached: int
    error: str | None
    created_at: str
    started_at: str | None
    ended_at: str | None


class OperationDetails(TypedDict):
    """``OperationDetails`` of the API."""

    id: str
    action: str
    filter: dict[str, str]
    namespaces: list[str] | None
    reason: str | None
    by: str
    state: Literal["pending", "running", "completed", "stopped", "failed"]
    matches: int
    reached: int
    error: str | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    outcomes: OutcomeCounts | None


class Operations(TypedDict):
    """``Operations`` of the API."""

    items: list[Operation]
    next: str | None


class Outcome(TypedDict):
    """``Outcome`` of the API."""

    instance: str
    business_id: str | None
    outcome: Literal["moved", "faulted_again", "refused", "pending", "gone"]
    reason: str | None
    status: str | None
    compensation: str | None


class OutcomeCounts(TypedDict):
    """``OutcomeCounts`` of the API."""

    moved: int
    faulted_again: int
    refused: int
    pending: int
    gone: int
    exact: bool


class Outcomes(TypedDict):
    """``Outcomes`` of the API."""

    items: list[Outcome]
    next: str | None


class PaginationMetadata(TypedDict):
    """``PaginationMetadata`` of the API."""

    total: NotRequired[int]
    total_pages: NotRequired[int]
    first_page: NotRequired[int]
    last_page: NotRequired[int]
    page: NotRequired[int]
    previous_page: NotRequired[int]
    next_page: NotRequired[int]


class Parent(TypedDict):
    """``Parent`` of the API."""

    instance: str
    step: int


class Passed(TypedDict):
    """``Passed`` of the API."""

    kind: str
    message: str


class PathPiece(TypedDict):
    """``PathPiece`` of the API."""

    step: int
    name: str
    reference: str
    since: str
    until: str


class PlannedStep(TypedDict):
    """``PlannedStep`` of the API."""

    step: int | None
    name: str
    reference: str
    note: str | None


class PlannedUndo(TypedDict):
    """``PlannedUndo`` of the API."""

    step: int
    reference: str
    name: str
    kind: str
    outcome: str | None
    instance: str | None


class Problem(TypedDict):
    """``Problem`` of the API."""

    type: str
    title: str
    status: int
    detail: NotRequired[str]
    instance: NotRequired[str]
    trace_id: str
    errors: NotRequired[list[ErrorItem]]


class Queue(TypedDict):
    """``Queue`` of the API."""

    name: str
    waiting: int
    oldest: str | None
    running: int
    workers: int
    slots: int
    free: int
    exact: bool


class Queues(TypedDict):
    """``Queues`` of the API."""

    items: list[Queue]
    next: str | None


Retry = TypedDict(
    "Retry",
    {
        "reason": "NotRequired[str | None]",
        "from": "NotRequired[int]",
        "input": "NotRequired[Json]",
        "workflow_input": "NotRequired[Json]",
    },
)


class RotatedSecrets(TypedDict):
    """``RotatedSecrets`` of the API."""

    rotated: int
    unreadable: list[list[str]]


class Schedule(TypedDict):
    """``Schedule`` of the API."""

    id: str
    namespace: str
    workflow: str
    version: str
    kind: Literal["every", "cron", "after", "on"]
    state: Literal["active", "paused", "stopped"]
    timing: Json
    policy: Json
    next_due: str | None
    next_at: str | None
    last_instance: str | None
    waiting: bool
    created_at: str
    next: list[Due]


class ScheduleSummary(TypedDict):
    """``ScheduleSummary`` of the API."""

    id: str
    namespace: str
    workflow: str
    version: str
    kind: Literal["every", "cron", "after", "on"]
    state: Literal["active", "paused", "stopped"]
    timing: Json
    policy: Json
    next_due: str | None
    next_at: str | None
    last_instance: str | None
    waiting: bool
    created_at: str


class Schedules(TypedDict):
    """``Schedules`` of the API."""

    items: list[ScheduleSummary]
    next: str | None


class Secret(TypedDict):
    """``Secret`` of the API."""

    value: str | dict[str, Any] | list[Json]


class Secrets(TypedDict):
    """``Secrets`` of the API."""

    items: list[NamedSecret]
    next: str | None


class SentTo(TypedDict):
    """``SentTo`` of the API."""

    url: str


class ShortCause(TypedDict):
    """``ShortCause`` of the API."""

    kind: Literal[
        "ended",
        "moving",
        "engine",
        "suspended",
        "broker",
        "no-control",
        "inbox",
        "stuck",
        "no-worker",
        "no-task",
        "no-processes",
        "no-slot",
        "unpublished",
        "delivery",
        "running",
        "silent-worker",
        "lease",
        "withdrawn",
        "workflow",
        "timer",
        "retry",
        "no-beat",
        "event",
        "event-came",
        "compensating",
        "dead-letter",
        "unknown-outcome",
        "repaired-child",
    ]
    message: str
    tone: Literal["calm", "soon", "alarm"]
    until: str | None
    step: int | None
    more: int


class ShortError(TypedDict):
    """``ShortError`` of the API."""

    type: str | None
    title: str | None
    status: int | None
    detail: str | None
    instance: str | None


class Skip(TypedDict):
    """``Skip`` of the API."""

    reason: NotRequired[str | None]
    step: NotRequired[int]
    output: NotRequired[Json]


class SkippedBy(TypedDict):
    """``SkippedBy`` of the API."""

    at: str
    by: str | None
    reason: str | None


class Start(TypedDict):
    """``Start`` of the API."""

    workflow: WorkflowRef
    input: NotRequired[Json]
    business_id: NotRequired[str | None]
    labels: NotRequired[dict[str, str] | None]
    start_at: NotRequired[str | None]


class Starts(TypedDict):
    """``Starts`` of the API."""

    name: str
    version: NotRequired[str]
    read: NotRequired[Literal["data", "envelope", "raw"]]


class Statistics(TypedDict):
    """``Statistics`` of the API."""

    since: str
    until: str
    exact: bool
    started: int
    completed: int
    waiting: int
    faulted: int
    cancelled: int
    undone: int
    median_ms: float | None
    tasks: list[TaskStatistics]


class Step(TypedDict):
    """``Step`` of the API."""

    id: int
    parent: int
    reference: str
    name: str
    kind: str
    index: int | None
    status: Literal[
        "pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"
    ]
    outcome: str | None
    compensable: bool
    compensates: int | None
    undone_by: int | None
    idempotency_key: str | None
    started_at: str | None
    ended_at: str | None
    retry_at: str | None
    can_retry_now: bool
    child: str | None
    skipped: SkippedBy | None
    error: Json
    recorded: Literal["succeeded", "failed", "lost"] | None
    attempts: list[Attempt]
    arguments: Json
    input: Json
    output: Json


class StepSummaries(TypedDict):
    """``StepSummaries`` of the API."""

    items: list[StepSummary]
    next: str | None
    sequence: int


class StepSummary(TypedDict):
    """``StepSummary`` of the API."""

    id: int
    parent: int
    reference: str
    name: str
    kind: str
    index: int | None
    status: Literal[
        "pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"
    ]
    outcome: str | None
    compensable: bool
    compensates: int | None
    undone_by: int | None
    idempotency_key: str | None
    started_at: str | None
    ended_at: str | None
    retry_at: str | None
    can_retry_now: bool
    child: str | None
    skipped: SkippedBy | None
    error: Json
    recorded: Literal["succeeded", "failed", "lost"] | None
    attempts: list[AttemptSummary]


class StepTime(TypedDict):
    """``StepTime`` of the API."""

    step: int
    name: str
    reference: str
    total_ms: float
    parts: TimeParts


class Steps(TypedDict):
    """``Steps`` of the API."""

    items: list[Step]
    next: str | None
    sequence: int


class Subscription(TypedDict):
    """``Subscription`` of the API."""

    id: str
    namespace: str
    description: str | None
    filter: Json
    webhook: SentTo | None
    workflow: Starts | None
    state: Literal["active", "paused", "disabled"]
    reason: str | None
    failures: int
    failing_since: str | None
    created_at: str
    changed_at: str


class Subscriptions(TypedDict):
    """``Subscriptions`` of the API."""

    items: list[Subscription]
    next: str | None


class TaskStatistics(TypedDict):
    """``TaskStatistics`` of the API."""

    reference: str
    name: str
    kind: str
    here: dict[str, int]
    passed: int
    faulted: int
    retried: int
    p50_ms: float | None
    p95_ms: float | None
    total_ms: float


class TimeAccount(TypedDict):
    """``TimeAccount`` of the API."""

    since: str | None
    until: str
    exact: bool
    total_ms: float
    parts: TimeParts
    steps: list[StepTime]
    path: list[PathPiece]


class TimeParts(TypedDict):
    """``TimeParts`` of the API."""

    suspended: float
    running: float
    queued: float
    backoff: float
    waiting: float
    between: float


class Timer(TypedDict):
    """``Timer`` of the API."""

    due_at: str
    instance: str
    step: int | None
    kind: Literal["wait", "timeout", "retry", "start"]
    namespace: str
    reference: str | None


class Timers(TypedDict):
    """``Timers`` of the API."""

    items: list[Timer]
    next: str | None


class Transition(TypedDict):
    """``Transition`` of the API."""

    sequence: int
    at: str
    stimulus: Json
    facts: list[Fact]


class Trigger(TypedDict):
    """``Trigger`` of the API."""

    reason: NotRequired[str | None]
    input: NotRequired[Json]


class UndoneStep(TypedDict):
    """``UndoneStep`` of the API."""

    step: int
    name: str
    reference: str
    instance: str | None


class Version(TypedDict):
    """``Version`` of the API."""

    namespace: str
    name: str
    version: str
    digest: str
    created_at: str


class Versions(TypedDict):
    """``Versions`` of the API."""

    items: list[Version]
    next: str | None


class Waiting(TypedDict):
    """``Waiting`` of the API."""

    kind: str
    step: int | None
    reference: str | None
    since: str | None
    timer: NotRequired[str]
    due_at: NotRequired[str]
    mode: NotRequired[str]
    filters: NotRequired[Json]


class Webhook(TypedDict):
    """``Webhook`` of the API."""

    url: str
    secret: NotRequired[str]


class Why(TypedDict):
    """``Why`` of the API."""

    status: Literal[
        "pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"
    ]
    compensation: Literal["none", "running", "completed", "failed"]
    causes: list[Cause]


class Worker(TypedDict):
    """``Worker`` of the API."""

    id: str
    name: str
    pid: int
    pool: str
    concurrency: int
    queues: list[str]
    tasks: list[str]
    free: int
    in_flight: int
    state: Literal["live", "stopping", "silent", "stopped"]
    started_at: str
    seen_at: str
    stopped_at: str | None
    counts: dict[str, int]


class Workers(TypedDict):
    """``Workers`` of the API."""

    items: list[Worker]
    next: str | None


class Workflow(TypedDict):
    """``Workflow`` of the API."""

    namespace: str
    name: str
    version: str
    digest: str
    created_at: str
    document: dict[str, Json]
    warnings: list[ErrorItem]


class WorkflowOf(TypedDict):
    """``WorkflowOf`` of the API."""

    namespace: str
    name: str
    version: str


class WorkflowRef(TypedDict):
    """``WorkflowRef`` of the API."""

    namespace: str
    name: str
    version: NotRequired[str]


class Workflows(TypedDict):
    """``Workflows`` of the API."""

    items: list[ListedWorkflow]
    next: str | None
