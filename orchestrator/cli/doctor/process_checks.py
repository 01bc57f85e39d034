"""Which processes are alive, and whether they fit together: workers, control, beats, the broker
of each, their clocks, and Celery workers that take no part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from orchestrator import clock
from orchestrator.broker_settings import REDIS, without_password
from orchestrator.cli.doctor.examination import Answer, Examination
from orchestrator.cli.doctor.installation_checks import Finding
from orchestrator.cli.terminal_text import command
from orchestrator.database.operations import consistency_checks
from orchestrator.database.workers import process_queries
from orchestrator.database.workers.process_queries import Living

#: A wall clock that differs from that of Postgres by more than this is reported, in seconds.
TOLERANCE = 2.0

_START_WORKER = "orchestrator worker, or celery -A yourapp worker for the tasks of your own app"
_INSTALL = (
    "where its app is made: from orchestrator import install; install(app). Then restart the worker"
)
_BROKER = (
    "give both the same: ORCHESTRATOR_BROKER_URL of our processes, broker_url of your Celery app"
)
_CLOCK = (
    "synchronise the clocks of its host and of Postgres' (NTP): log times, access tokens and the"
    " signatures of webhooks depend on them; what is due is judged by Postgres alone"
)


def look(ward: Examination) -> Iterator[Finding]:
    """Look at every process that has announced itself, and ask the broker who else is there."""
    living = process_queries.living(ward.services.database, ward.settings.lease)
    workers = [each for each in living if each.kind == "worker"]
    answers = ward.answers()
    yield _workers(workers)
    yield _control(ward, workers)
    yield _beat([each for each in living if each.kind == "beat"])
    yield from _not_installed(ward, workers, answers)
    yield from _elsewhere(ward, living, answers)
    yield from _clocks(ward, living)


def _names(found: Sequence[Living]) -> str:
    return ", ".join(sorted({each.name for each in found}))


def _workers(workers: Sequence[Living]) -> Finding:
    if workers:
        return Finding("workers", f"{len(workers)} alive: {_names(workers)}")
    found = "no worker is alive: no step runs"
    return Finding("workers", found, f"start one: {_START_WORKER}", "failed")


def _control(ward: Examination, workers: Sequence[Living]) -> Finding:
    queue = ward.settings.control_queue
    serving = [each for each in workers if queue in each.queues]
    if serving:
        return Finding("control", f"{len(serving)} serve the queue {queue}: {_names(serving)}")
    found = f"no live worker serves the control queue {queue}: no start and no command takes effect"
    advice = command("start one: orchestrator worker -Q {queue}", {"queue": queue})
    if workers:
        advice += "; or set ORCHESTRATOR_SERVE_CONTROL=true for those that run"
    return Finding("control", found, advice, "failed")


def _beat(beats: Sequence[Living]) -> Finding:
    if beats:
        return Finding("beat", f"{len(beats)} alive: on {_names(beats)}")
    found = "no beat is alive: no timer or schedule fires, and no lost step is noticed"
    advice = "start one: orchestrator beat, or celery -A yourapp beat -S orchestrator"
    return Finding("beat", found, advice, "failed")


def _not_installed(
    ward: Examination, workers: Sequence[Living], answers: Mapping[str, Answer]
) -> Iterator[Finding]:
    """Celery workers at the same broker that have not announced themselves. One that shares the
    broker and has nothing to do with us is nobody's fault: it is named, and no more."""
    known = {each.name for each in workers}
    missing = {row.about["task"] for row in ward.find(consistency_checks.UNSERVED)}
    missing -= {task for each in workers for task in each.tasks}
    ours = {queue for each in workers for queue in each.queues}
    for name in sorted(answers.keys() - known):
        wanted = missing & answers[name].tasks
        shared = ours & answers[name].queues
        found = f"the Celery worker {name} takes no part: its app has no install(app)"
        if wanted:
            found += f"; steps wait for its task {', '.join(sorted(wanted))}"
        if shared:
            found += f"; it takes messages of steps out of the queue {', '.join(sorted(shared))}"
        wrong = wanted or shared or not workers
        yield Finding("install", found, _INSTALL, "found" if wrong else "note")


def _elsewhere(
    ward: Examination, living: Sequence[Living], answers: Mapping[str, Answer]
) -> Iterator[Finding]:
    """Processes at another broker than the API's. A worker that answers there is there, whatever
    address it has for it."""
    here = without_password(ward.settings.broker_url)
    of_api = next((each.broker for each in living if each.kind == "api" and each.broker), None)
    asked = of_api is None or same_broker(here, of_api)
    for each in living:
        if each.broker is None or (asked and each.kind == "worker" and each.name in answers):
            continue
        whose, reference = "the API publishes to", of_api
        if each.kind == "api" or reference is None:
            whose, reference = "these settings name", here
        if not same_broker(each.broker, reference):
            yield Finding(
                "brokers",
                f"{_who(each)} uses the broker {each.broker}, and {whose} {reference}",
                _BROKER,
                "found",
            )


def same_broker(one: str, other: str) -> bool:
    """Whether two addresses name the same broker, as far as that can be told from them."""
    return _address(one) == _address(other)


def _address(url: str) -> tuple[str, str, int, str]:
    parts = urlsplit(url)
    host = (parts.hostname or "localhost").lower()
    host = "localhost" if host in ("127.0.0.1", "::1") else host
    place = unquote(parts.path).strip("/")
    if parts.scheme in REDIS:
        return "redis", host, parts.port or 6379, place or "0"
    return "amqp", host, parts.port or 5672, place


def _who(process: Living) -> str:
    names = {"worker": "the worker", "beat": "the beat on", "api": "the API on"}
    return f"{names[process.kind]} {process.name}"


def _clocks(ward: Examination, living: Sequence[Living]) -> Iterator[Finding]:
    own = process_queries.offset(ward.services.database, clock.now())
    offsets = [("this machine", own)]
    offsets += [(_who(each), each.clock_offset) for each in living if each.clock_offset is not None]
    for whose, offset in offsets:
        if abs(offset) > TOLERANCE:
            how = "ahead of" if offset > 0 else "behind"
            found = f"the clock of {whose} is {abs(offset):.0f} s {how} that of Postgres"
            yield Finding("clocks", found, _CLOCK, "found")
