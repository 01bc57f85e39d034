"""Removes the product's guards one at a time: a named test must fail for each.

A mutant replaces one text in one file of a temporary copy of the tree. The tests first run on an
unchanged copy, where all must pass; otherwise a failure would prove nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = (
    "orchestrator",
    "api",
    "workers",
    "tests",
    "examples",
    "pyproject.toml",
    "celeryconfig.py",
)

SCHEDULES = "tests/simulation/test_simulation.py::test_schedules_end_as_they_must"
FOUND = "tests/simulation/test_regressions.py::"
SQL = "tests/integration/test_transitions.py::"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`file` with `old` replaced by `new`; `test` must fail."""

    name: str
    file: str
    old: str
    new: str
    test: str


MUTANTS = (
    Mutant(
        "the fence on claim",
        "orchestrator/database/schema/functions/claim_attempt.sql",
        "\n     and state = 'ready' and not withdrawn",
        "",
        SQL + "test_a_claim_is_refused_for_another_task_a_second_token_or_a_withdrawn_attempt",
    ),
    Mutant(
        "the fence on completion",
        "orchestrator/state_manager/transition_runner.py",
        "Fence(current.attempt.id, current.token) if current else None",
        "None",
        SCHEDULES,
    ),
    Mutant(
        "the fence on heartbeat",
        "orchestrator/scheduler/lease_watchdog.py",
        "claimed.in_flight and claimed.heartbeat_count not in",
        "claimed.heartbeat_count not in",
        FOUND + "test_a_claim_that_its_living_worker_does_not_report_is_lost",
    ),
    Mutant(
        "the dedupe of events",
        "orchestrator/database/events/event_queries.py",
        '"names": [event["id"] for event in events]',
        '"names": [new_id() for event in events]',
        "tests/integration/test_events_api.py"
        "::test_an_event_counts_once_for_its_namespace_source_and_id",
    ),
    Mutant(
        "another look after a lease",
        "orchestrator/state_manager/inbox.py",
        "if not (applied.more or applied.had_lease or had_lease):",
        "if not applied.more:",
        "tests/integration/test_long_decisions.py::test_what_comes_meanwhile_is_read_by_the_holder",
    ),
    Mutant(
        "no sandbox under the row lock",
        "orchestrator/state_manager/deliberation.py",
        "            raise EvaluationAsked\n",
        "            self._locked_cpu = LOCKED_CPU\n",
        "tests/integration/test_long_decisions.py::test_nothing_is_evaluated_under_the_row_lock",
    ),
    Mutant(
        "the watchdog",
        "orchestrator/scheduler/lease_watchdog.py",
        "for row in silent:",
        "for row in ():",
        SCHEDULES,
    ),
    Mutant(
        "the re-dispatch",
        "orchestrator/scheduler/maintenance_loop.py",
        "lost = self._store.lost_messages(self._republish_after)",
        "lost = ()",
        SCHEDULES,
    ),
    Mutant(
        "the attempt count",
        "orchestrator/core/attempts.py",
        "attempt.starts + claimed",
        "attempt.starts",
        "tests/unit/test_core_attempts.py::test_a_lost_attempt_is_started_again_up_to_its_limit",
    ),
    Mutant(
        "the idempotency record",
        "orchestrator/database/schema/functions/start_instances.sql",
        "if not found then\n      return 'seen';",
        "if not found then\n      null;",
        "tests/integration/test_api_instances.py::test_the_same_key_gives_the_same_answer",
    ),
    Mutant(
        "the reverse order",
        "orchestrator/core/compensation.py",
        "best = max(candidates, key=lambda node: node.completion_number or 0, default=None)",
        "best = min(candidates, key=lambda node: node.completion_number or 0, default=None)",
        "tests/unit/test_core_compensation.py"
        "::test_many_steps_inside_a_replaced_container_are_passed_over_in_portions",
    ),
    Mutant(
        "the mailbox",
        "orchestrator/database/events/listener_queries.py",
        "if event.target_instance is not None:",
        "if False:",
        "tests/integration/test_events_matching.py"
        "::test_a_signal_waits_however_long_for_its_listener",
    ),
    Mutant(
        "the uniqueness of firing",
        "orchestrator/scheduler/schedules/firing_record.py",
        "new = [firing for firing in made if (firing.row.schedule_id, firing.row.due) in recorded]",
        "new = list(made) if recorded is not None else []",
        "tests/integration/test_scheduler_schedules.py"
        "::test_a_due_time_that_was_backfilled_meanwhile_does_not_fire_again",
    ),
    Mutant(
        "the cancel guard",
        "orchestrator/core/withdrawal.py",
        "        draft.withdrawn.append(node.id)\n    draft.set_status(node, Status.CANCELLED)",
        "    draft.set_status(node, Status.CANCELLED)",
        SCHEDULES,
    ),
    Mutant(
        "the namespace filter",
        "orchestrator/database/keyset_pages.py",
        "return self.namespaces is None or namespace in self.namespaces",
        "return True",
        "tests/integration/test_api_auth.py::test_a_foreign_namespace_is_a_404_everywhere",
    ),
    Mutant(
        "the database's clock",
        "orchestrator/database/connection/database_clock.py",
        "return self._observed + timedelta(seconds=clock.monotonic() - self._observed_at)",
        "return clock.now() if timedelta else self._observed",
        SCHEDULES,
    ),
)


class OutOfDate(Exception):
    """The text that a mutant replaces does not occur exactly once."""


def copy(folder: Path) -> Path:
    """Copy the tree."""
    tree = folder / "tree"
    tree.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, tree / name)
    return tree


def change(tree: Path, mutant: Mutant) -> str:
    """Remove the guard; return the original text. Raise `OutOfDate`."""
    path = tree / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise OutOfDate(f"{mutant.name}: {mutant.old!r} is {text.count(mutant.old)} times there")
    path.write_text(text.replace(mutant.old, mutant.new))
    return text


def passes(tree: Path, *tests: str, timeout: float = 300) -> bool:
    """Whether these tests pass in that tree. One that cannot end is as red as one that fails;
    one that was not found, or skipped, proves nothing and raises."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ran = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return False
    said = {0: " passed", 1: " failed"}.get(ran.returncode)
    if said is None or said not in ran.stdout:
        raise OutOfDate(f"{tests} cannot be run:\n{ran.stdout[-2000:]}{ran.stderr[-1000:]}")
    return ran.returncode == 0


def run(chosen: list[Mutant]) -> list[dict[str, object]]:
    """Run each mutant: its name, whether a test failed, which one, and the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        tree = copy(Path(folder))
        tests = list(dict.fromkeys(mutant.test for mutant in chosen))
        if not passes(tree, *tests):
            raise SystemExit("the tests fail without any mutant")
        return [_one(tree, mutant) for mutant in chosen]


def _one(tree: Path, mutant: Mutant) -> dict[str, object]:
    began = time.monotonic()
    text = change(tree, mutant)
    try:
        killed = not passes(tree, mutant.test)
    finally:
        (tree / mutant.file).write_text(text)
    seconds = round(time.monotonic() - began, 1)
    print(f"{'killed' if killed else 'ALIVE ':8} {mutant.name:28} {seconds:6} s  {mutant.test}")
    return {"mutant": mutant.name, "killed": killed, "test": mutant.test, "seconds": seconds}


def main() -> int:
    """Exit status 1: a mutant survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.mutants")
    parser.add_argument("names", nargs="*", help="only those whose name contains one of these")
    parser.add_argument("--out", help="write the results there, as JSON")
    chosen = parser.parse_args()
    wanted = [
        mutant
        for mutant in MUTANTS
        if not chosen.names or any(name in mutant.name for name in chosen.names)
    ]
    results = run(wanted)
    killed = sum(bool(result["killed"]) for result in results)
    print(f"{killed} of {len(results)} mutants killed")
    if chosen.out:
        Path(chosen.out).write_text(json.dumps(results))
    return 0 if killed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
