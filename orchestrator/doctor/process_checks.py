"""Checks of the live processes: workers, control workers, beats, their brokers and clocks, and
Celery workers without `install(app)`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from orchestrator import clock
from orchestrator.broker_settings import REDIS, without_password
from orchestrator.companion_queues import companion_name
from orchestrator.database.access import outbox_grants
from orchestrator.database.operations import consistency_checks
from orchestrator.database.workers import process_queries, route_queries
from orchestrator.database.workers.process_queries import Living
from orchestrator.doctor.examination import Answer, Examination
from orchestrator.doctor.finding import Finding
from orchestrator.sqs_broker import SQS
from orchestrator.terminal_text import fill_command

#: Largest difference of a wall clock from that of Postgres that is not reported, in seconds.
CLOCK_TOLERANCE = 2.0

_START_WORKER = "orchestrator worker, or celery -A yourapp worker for the tasks of your own app"
_INSTALL = (
    "where its app is made: from orchestrator import install; install(app). Then restart the worker"
)
_BROKER = (
    "set the same broker for both: ORCHESTRATOR_BROKER_URL of our processes, broker_url of your app"
)
_ROUTES = (
    "during a rollout this is expected; otherwise let all workers of the task have one release and"
    " the same task_routes"
)
_NAME = "name the queue in the document: metadata.queue"
_OPTIONS = (
    "give all apps the same sep, global_keyprefix and priority_steps in broker_transport_options"
)
_PERMISSION = (
    "let the worker's user use the queue {companion} (RabbitMQ: configure and read; Redis: the keys"
    " of that name and those that begin with it); then restart the worker"
)
_POOLER = (
    "let the pooler pass each login on (PgBouncer: no `user=` in [databases]): the outbox tells"
    " namespaces apart by the login, and one login has one namespace"
)
_OWN_LOGIN = (
    "give applications logins of their own: orchestrator db grants ROLE --namespace NAMESPACE"
)
_CLOCK = (
    "synchronise the clocks of its host and of Postgres' (NTP): log times, access tokens and the"
    " signatures of webhooks depend on them; timers and schedules depend on Postgres' clock alone"
)


def check_processes(examination: Examination) -> Iterator[Finding]:
    """Check every registered process, and the Celery workers that answer at the broker."""
    living = process_queries.living(examination.services.database, examination.settings.lease)
    workers = [each for each in living if each.kind == "worker"]
    answers = examination.answers()
    yield _workers(workers)
    yield _control(examination, workers)
    yield _beat([each for each in living if each.kind == "beat"])
    yield from _not_installed(examination, workers, answers)
    yield from _refused(examination, workers)
    yield from _routes(examination)
    yield from _elsewhere(examination, living, answers)
    yield from _clocks(examination, living)
    yield from _outbox_logins(examination)


def _names(found: Sequence[Living]) -> str:
    return ", ".join(sorted({each.name for each in found}))


def _workers(workers: Sequence[Living]) -> Finding:
    if workers:
        return Finding("workers", f"{len(workers)} alive: {_names(workers)}")
    found = "no worker is alive, so no step runs"
    return Finding("workers", found, f"start one: {_START_WORKER}", "failed")


def _control(examination: Examination, workers: Sequence[Living]) -> Finding:
    queue = examination.settings.control_queue
    serving = [each for each in workers if queue in each.queues]
    if serving:
        return Finding("control", f"{len(serving)} serve the queue {queue}: {_names(serving)}")
    found = (
        f"no live worker serves the control queue {queue}: starts, timers and events wait, and so"
        " does what follows a command"
    )
    if not workers:  # one without -Q serves the control queue, and steps besides
        return Finding("control", found, "start one: orchestrator worker", "failed")
    advice = fill_command("start one: orchestrator worker -Q {queue}", {"queue": queue})
    advice += "; or set ORCHESTRATOR_SERVE_CONTROL=true for those that run"
    return Finding("control", found, advice, "failed")


def _beat(beats: Sequence[Living]) -> Finding:
    if beats:
        return Finding("beat", f"{len(beats)} alive: on {_names(beats)}")
    found = "no beat is alive: timers and schedules do not fire, and lost attempts are not found"
    advice = "start one: orchestrator beat, or celery -A yourapp beat -S orchestrator"
    return Finding("beat", found, advice, "failed")


def _not_installed(
    examination: Examination, workers: Sequence[Living], answers: Mapping[str, Answer]
) -> Iterator[Finding]:
    """Find Celery workers at the same broker that are not registered. One that has no task and no
    queue of ours is only a note: it may belong to another project."""
    registered = {each.name for each in workers}
    missing = {row.about["task"] for row in examination.find(consistency_checks.UNSERVED)}
    missing -= {task for each in workers for task in each.tasks}
    control = examination.settings.control_queue
    ours = {companion_name(queue, control) for each in workers for queue in each.queues}
    for name in sorted(answers.keys() - registered):
        needed = missing & answers[name].tasks
        shared = ours & answers[name].queues
        found = f"the Celery worker {name} runs no steps: its app has no install(app)"
        if needed:
            found += f"; steps wait for its task {', '.join(sorted(needed))}"
        if shared:
            found += f"; it discards messages of steps in the queue {', '.join(sorted(shared))}"
        wrong = needed or shared or not workers
        yield Finding("install", found, _INSTALL, "inconsistent" if wrong else "note")


def _refused(examination: Examination, workers: Sequence[Living]) -> Iterator[Finding]:
    """Find workers that the broker lets consume a queue, but not the queue's steps."""
    for each in workers:
        for queue, reason in sorted(each.refused_queues.items()):
            companion = companion_name(queue, examination.settings.control_queue)
            found = f"the worker {each.name} takes no steps of the queue {queue}: {reason}"
            advice = fill_command(_PERMISSION, {"companion": companion})
            yield Finding("companions", found, advice, "inconsistent")


def _routes(examination: Examination) -> Iterator[Finding]:
    """Find tasks whose queue is uncertain: announced differently, or not known without arguments;
    and apps that name queues in Redis differently."""
    database, lease = examination.services.database, examination.settings.lease
    for task, queues, chosen in route_queries.differing_routes(database, lease):
        announced = ", ".join(queue or "(none)" for queue in queues)
        found = f"workers route {task} to {announced}; its steps go to {chosen or '(none)'}"
        yield Finding("routes", found, _ROUTES, "note")
    for task, warning in route_queries.warnings(database, lease):
        yield Finding("routes", f"the queue of {task} is uncertain: {warning}", _NAME, "note")
    options = route_queries.differing_options(database)
    if len(options) > 1:
        found = f"apps name their queues in Redis differently: {'; '.join(options)}"
        yield Finding("broker-options", found, _OPTIONS, "inconsistent")


def _elsewhere(
    examination: Examination, living: Sequence[Living], answers: Mapping[str, Answer]
) -> Iterator[Finding]:
    """Find processes that use another broker than the API. A worker that answers at the API's
    broker uses it, even if its address looks different."""
    here = without_password(examination.settings.broker_url)
    of_api = next((each.broker for each in living if each.kind == "api" and each.broker), None)
    is_api_broker = of_api is None or same_broker(here, of_api)
    for each in living:
        if each.broker is None or (
            is_api_broker and each.kind == "worker" and each.name in answers
        ):
            continue
        whose, reference = "the API publishes to", of_api
        if each.kind == "api" or reference is None:
            whose, reference = "these settings name", here
        if not same_broker(each.broker, reference):
            yield Finding(
                "brokers",
                f"{_process(each)} uses the broker {each.broker}, and {whose} {reference}",
                _BROKER,
                "inconsistent",
            )


def same_broker(one: str, other: str) -> bool:
    """Whether two addresses name the same broker, judged by their text."""
    return _address(one) == _address(other)


def _address(url: str) -> tuple[str, str, int, str]:
    parts = urlsplit(url)
    host = (parts.hostname or "localhost").lower()
    host = "localhost" if host in ("127.0.0.1", "::1") else host
    path = unquote(parts.path).strip("/")
    if parts.scheme in SQS:
        return "sqs", parts.hostname or "", parts.port or 0, ""
    if parts.scheme in REDIS:
        return "redis", host, parts.port or 6379, path or "0"
    return "amqp", host, parts.port or 5672, path


def _process(process: Living) -> str:
    names = {"worker": "the worker", "beat": "the beat on", "api": "the API on"}
    return f"{names[process.kind]} {process.name}"


def _clocks(examination: Examination, living: Sequence[Living]) -> Iterator[Finding]:
    own = process_queries.offset(examination.services.database, clock.now())
    offsets = [("this machine", own)]
    offsets += [
        (_process(each), each.clock_offset) for each in living if each.clock_offset is not None
    ]
    for whose, offset in offsets:
        if abs(offset) > CLOCK_TOLERANCE:
            direction = "ahead of" if offset > 0 else "behind"
            found = f"the clock of {whose} is {abs(offset):.0f} s {direction} that of Postgres"
            yield Finding("clocks", found, _CLOCK, "inconsistent")


def _outbox_logins(examination: Examination) -> Iterator[Finding]:
    """Check that logins can tell the namespaces of submitted starts apart, if any login may submit
    starts."""
    services = examination.services
    mapped = outbox_grants.logins(services.database)
    login = outbox_grants.session_login(services.database)
    named = urlsplit(services.settings.database_url).username
    if mapped and named and unquote(named) != login:
        found = f"the pooler logs {unquote(named)} in as {login}, and maybe every application"
        yield Finding("outbox", found, _POOLER, "note")
    if login in mapped:
        found = f"{login}, the orchestrator's own login, submits starts in {mapped[login]}"
        yield Finding("outbox", found, _OWN_LOGIN, "note")
