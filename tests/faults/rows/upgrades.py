"""Our own upgrade: two releases of the product beside each other, while a thousand are in flight.

The release before is this tree; the next one is a copy of it with a migration more, which only
expands, an engine of its own beside the one it knew, a function with another body and one with
another signature. Each process reads when it starts of which release it is, so that one after
the other can be changed, and changed back.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from orchestrator.core.engine_version import ENGINE, SUPPORTED
from orchestrator.database.schema import upgrade as migrate
from orchestrator.embedded.supervisor import Process, ProcessFailed, http_ok, log_says
from tests.faults import mutants
from tests.faults.documents import MIXED, pause
from tests.faults.fault_stack import READY, Ground
from tests.faults.rows.row import Row

if TYPE_CHECKING:
    from tests.faults.fault_run import Outcome

#: In the row's folder: what a process imports first, and which tree that then puts before others.
FIRST = """\
import os, sys
from pathlib import Path
chosen = Path(os.environ["STACK_PROCESS"] + ".release")
if chosen.exists():
    sys.path.insert(0, chosen.read_text())
"""
#: Of the next release: its schema and its engine.
SCHEMA, NEXT = f"{int(migrate.head()) + 1:04}", ENGINE + 1
MIGRATION = f"""\
from alembic import op
import sqlalchemy as sa

revision, down_revision = "{SCHEMA}", "{migrate.head()}"


def upgrade():
    for table in ("instances", "steps", "attempts", "stimuli"):
        op.add_column(table, sa.Column("later", sa.Text()), schema="orchestrator")
    op.create_table("later", sa.Column("id", sa.Integer, primary_key=True), schema="orchestrator")
"""
FUNCTIONS = "orchestrator/database/schema/functions"
#: The new name of the claim, which has another parameter: what it writes into the new column.
CLAIM = "claim_attempt_noted"
#: Where Postgres does not know that name yet, the next release calls the previous one.
CALL = """\
    import psycopg2.errors

    asked = (attempt, instance, task, worker, process, token)
    try:
        row = session.one(
            "select orchestrator.claim_attempt_noted(%s, %s, %s, %s, %s, %s, %s)", (*asked, "next")
        )
    except psycopg2.errors.UndefinedFunction:
        row = session.one(
            "select orchestrator.claim_attempt(%s, %s, %s, %s, %s, %s)", asked
        )
"""
#: What differs in it: file, text, the text instead.
CHANGES = (
    (
        "database/transitions/instance_slice_reader.py",
        """\
    row = session.one(
        "select orchestrator.claim_attempt(%s, %s, %s, %s, %s, %s)",
        (attempt, instance, task, worker, process, token),
    )
""",
        CALL,
    ),
    # A body that serves the callers of both releases.
    (
        "database/schema/functions/save_next_call.sql",
        "  update orchestrator.instances"
        " set sequence = p_expected + 1, last_number = p_last_number\n",
        "  update orchestrator.instances\n"
        "     set sequence = p_expected + 1, last_number = p_last_number, later = 'saved'\n",
    ),
    ("database/schema/upgrade.py", "PREVIOUS: str | None = None", f'PREVIOUS = "{migrate.head()}"'),
    ("core/engine_version.py", f"\nENGINE = {ENGINE}\n", f"\nENGINE = {NEXT}\n"),
    (
        "core/engine_version.py",
        "SUPPORTED = frozenset({ENGINE})",
        f"SUPPORTED = frozenset({{ENGINE, {', '.join(map(str, sorted(SUPPORTED)))}}})",
    ),
)


def make_releases(folder: Path) -> Mapping[str, str]:
    """The next release, in the folder's ``tree``; the environment of processes of either."""
    tree = mutants.copy(folder)
    (tree / f"orchestrator/database/schema/migrations/versions/{SCHEMA}_later.py").write_text(
        MIGRATION
    )
    for file, old, new in CHANGES:
        path = tree / "orchestrator" / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is not once in {file}"
        path.write_text(text.replace(old, new))
    _new_signature(tree / FUNCTIONS)
    (folder / "first").mkdir()
    (folder / "first" / "sitecustomize.py").write_text(FIRST)
    return {"PYTHONPATH": f"{folder / 'first'}:{mutants.ROOT}"}


def _new_signature(functions: Path) -> None:
    """The claim gets a parameter, so it gets a new name; the old file stays for one release."""
    old = functions / "claim_attempt.sql"
    text = old.read_text()
    old.rename(functions / "previous" / old.name)
    for before, after in (
        ("claim_attempt(", f"{CLAIM}("),
        ("p_token text\n", "p_token text, p_note text\n"),
        ("claimed_at = clock_timestamp()\n", "claimed_at = clock_timestamp(), later = p_note\n"),
    ):
        assert text.count(before) == 1, f"{before!r} is not once in {old.name}"
        text = text.replace(before, after)
    (functions / f"{CLAIM}.sql").write_text(text)


def roll(process: Callable[[Ground], Process], *, forward: bool) -> Callable[[Ground], None]:
    """A process ends in order, and is of the other release from then on."""

    def do(ground: Ground) -> None:
        one = process(ground)
        chosen = ground.folder / f"{one.name}.release"
        if forward:
            chosen.write_text(str(ground.folder / "tree"))
        else:
            chosen.unlink()
        starts = one.starts
        with suppress(ProcessFailed):
            one.signal(signal.SIGTERM)
        one.wait_for_start(starts + 1, timeout=READY)
        one.wait_until(_ready(ground, one), READY)

    return do


def _ready(ground: Ground, one: Process) -> Callable[[Process], bool]:
    if one is ground.api:
        return http_ok(f"{ground.stack.settings['api_url']}/livez")
    return log_says("beat: Starting" if one in ground.beats else " ready.")


def upgrade(ground: Ground) -> None:
    """The next release's migration, by its own command, while everything runs."""
    url = {"ORCHESTRATOR_DATABASE_URL": ground.direct_url}
    env = {"PYTHONPATH": ground.folder / "tree", **url}
    command = ground.stack.spawn("upgrade", "-m", "orchestrator.cli", "db", "upgrade", env=env)
    assert command.wait(READY) == 0, command.log_since_start()
    ground.notes["upgraded at"] = _now()


def _now() -> float:
    return time.clock_gettime(time.CLOCK_TAI)  # as the ledger's lines


def worker(number: int) -> Callable[[Ground], Process]:
    return lambda ground: ground.workers[number]


def beat(number: int) -> Callable[[Ground], Process]:
    return lambda ground: ground.beats[number]


#: First a worker and a beat of the next release work on the schema and the API before it; then
#: workers and a beat of the one before on those that follow; one worker goes back in between.
STAGES = (
    roll(worker(0), forward=True),
    roll(beat(0), forward=True),
    upgrade,
    roll(lambda ground: ground.api, forward=True),
    roll(worker(1), forward=True),
    roll(worker(0), forward=False),
    roll(beat(1), forward=True),
    roll(worker(2), forward=True),
    roll(worker(0), forward=True),
)


def stage(ground: Ground, _: Random) -> int:
    """The next stage of the upgrade."""
    STAGES[ground.seen](ground)
    ground.seen += 1
    return 1


def done(ground: Ground) -> bool:
    """Whether the upgrade is."""
    return ground.seen == len(STAGES)


def both_ways(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """Each release ran steps beside the other's schema and API, and none of an engine that it
    does not know."""
    at = ground.notes.get("upgraded at", 0.0)
    lines = ground.effects()
    started = dict(
        ground.sql("select engine, count(*) from orchestrator.instances group by 1 order by 1")
    )
    engines = dict(
        ground.sql(
            "select a.id::text, i.engine from orchestrator.attempts a"
            " join orchestrator.instances i on i.id = a.instance_id"
        )
    )
    ((noted,),) = ground.sql("select count(*) from orchestrator.attempts where later = 'next'")
    ((saved,),) = ground.sql("select count(*) from orchestrator.instances where later is not null")
    runs = [(line["engine"], engines.get(line["attempt"]), line["true"] > at) for line in lines]
    outcome.measured |= {
        "before_on_next": sum(of == ENGINE and later for of, _, later in runs),
        "next_on_before": sum(of == NEXT and not later for of, _, later in runs),
        "started": started,
        "noted": noted,
        "saved": saved,
        "left_alone": ground.logged("unknown_engine"),
    }
    schema = ground.sql("select version_num from orchestrator.schema_version")
    return judge(runs, started, schema) | judge_functions(noted, saved)


def judge_functions(noted: int, saved: int) -> dict[str, Any]:
    """What is wrong with the next release's functions. That the release before ran steps on its
    schema shows that the previous ones were there for it."""
    problems: dict[str, Any] = {}
    if not noted:
        problems["the function with another signature claimed nothing"] = 0
    if not saved:
        problems["the function with another body saved nothing"] = 0
    return problems


def judge(
    runs: Sequence[tuple[int, int | None, bool]],
    started: Mapping[int, int],
    schema: Sequence[tuple[Any, ...]],
) -> dict[str, Any]:
    """What is wrong. `runs`: the engine of the release, that of the instance, and whether it was
    after the schema's upgrade."""
    problems: dict[str, Any] = {}
    unknown = [one for one in runs if one[1] is None or (one[0] == ENGINE and one[1] == NEXT)]
    if unknown:
        problems["a release ran what it does not know"] = unknown[:3]
    if not any(of == ENGINE and later for of, _, later in runs):
        problems["the release before ran nothing on the next one's schema"] = 0
    if not any(of == NEXT and not later for of, _, later in runs):
        problems["the next release ran nothing on the schema before"] = 0
    if started.keys() != {ENGINE, NEXT}:
        problems["not started by both"] = started
    if schema != [(SCHEMA,)]:
        problems["the schema"] = schema
    return problems


ROWS = (
    Row(
        "our own upgrade: workers, beats, schema and API, 1,000 in flight",
        stage,
        2_000,
        len(STAGES),
        (0.5, 1.5),
        {"workers": 3, "concurrency": 1, "beats": 2, "make": make_releases},
        load=(*MIXED, (pause(5_000), ("completed", "none"))),
        backlog=1_000,
        judge=both_ways,
        enough=done,
        weight=2,
    ),
)
