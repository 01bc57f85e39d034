"""Fuzzes all parsers: documents, JSON, jq, durations, cron, CloudEvents.

Each target gets texts that Hypothesis makes from its alphabet, and mutations of real documents. It
may raise only the product's own errors, within a bounded time. Failures are shrunk and printed.

    python -m tests.faults.fuzz --seconds 60
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from orchestrator.core import cloud_event_validation
from orchestrator.document import load
from orchestrator.document.durations import duration
from orchestrator.document.model import Workflow
from orchestrator.errors import OrchestratorError
from orchestrator.expressions import Evaluator, fast_path, program_rules
from orchestrator.json_codec import loads_strict
from orchestrator.scheduler.schedules import cron
from tests.property.test_document_parse import PIECES, jsonish, values, yamlish
from tests.property.test_expressions_fuzzed import programs

ROOT = Path(__file__).parents[2]
SPEC = Path(os.environ.get("ORCHESTRATOR_SPEC", ROOT.parent / "shared" / "spec"))
#: More than this is a hang, in s of CPU time.
HANG = 10.0
#: Examples of a target in one go.
PORTION = 100

EVALUATOR = Evaluator()


def _corpus() -> list[str]:
    """Real documents: our own, and the specification's where it is at hand."""
    files = [*ROOT.glob("examples/**/*.yaml"), *SPEC.glob("**/examples*/**/*.yaml")]
    return [file.read_text() for file in sorted(files) if file.stat().st_size < 20_000]


_WORDS = [*PIECES, "do:\n", "call: ", "then: ", "${ . }", "if: ", "metadata:\n", "timeout: ", "P1D"]
_edits = st.tuples(
    st.sampled_from(["cut", "insert", "repeat", "swap"]),
    st.floats(0, 1),
    st.integers(1, 40),
    st.sampled_from(_WORDS),
)


def _edited(text: str, edits: list[tuple[str, float, int, str]]) -> str:
    for what, where, size, word in edits:
        at = int(where * len(text))
        piece = text[at : at + size]
        text = {
            "cut": text[:at] + text[at + size :],
            "insert": text[:at] + word + text[at:],
            "repeat": text[:at] + piece * 2 + text[at + size :],
            "swap": text[:at] + text[at + size : at + 2 * size] + piece + text[at + 2 * size :],
        }[what]
    return text


def _document(text: str) -> None:
    Workflow(load(text).document)


def _expression(program: str) -> None:
    fast_path.compiled(program_rules.read(program))
    EVALUATOR.evaluate(program, {"a": [1, "x"]}, {"input": {}})


@dataclass(frozen=True)
class Target:
    """A function that reads untrusted text."""

    name: str
    given: Any
    read: Callable[[Any], object]
    #: What it may raise.
    raises: tuple[type[Exception], ...] = (OrchestratorError,)


_cron = st.lists(
    st.sampled_from(
        [
            "0",
            "5",
            "*",
            ",",
            "-",
            "/",
            "60",
            "L",
            "#",
            "?",
            "MON",
            "JAN",
            "@daily",
            "1-5",
            "*/2",
            "99",
            "W",
            "a",
        ]
    )
)
_times = st.text("PT0123456789.DHMSWYZ-: +", max_size=20)
_events = st.dictionaries(
    st.sampled_from(
        [
            "id",
            "source",
            "type",
            "specversion",
            "data",
            "time",
            "datacontenttype",
            "subject",
            "x",
            "É",
        ]
    ),
    st.one_of(st.just("1.0"), values),
)
TARGETS = (
    Target(
        "documents",
        st.builds(_edited, st.sampled_from(_corpus()), st.lists(_edits, min_size=1, max_size=6)),
        _document,
    ),
    Target("yaml", yamlish, load),
    Target("json", jsonish, lambda text: load(text, "application/json")),
    Target("requests", jsonish, lambda text: loads_strict(text.encode("utf-8", "replace"))),
    Target("expressions", programs, _expression),
    Target("durations", st.one_of(_times, values), duration),
    Target("cron", _cron.map(" ".join), cron.check, (cron.InvalidCron,)),
    Target("events", _events, cloud_event_validation.validated),
)


def fuzz(target: Target, number: int) -> int:
    """So many examples; how many there were. Raises what the target must not raise."""
    ran = 0

    @seed(number)
    @settings(
        max_examples=PORTION,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(target.given)
    def attempt(example: Any) -> None:
        nonlocal ran
        ran += 1
        began = time.process_time()
        with suppress(*target.raises):
            target.read(example)
        assert time.process_time() - began < HANG, f"{target.name} hangs"

    attempt()
    return ran


def run(seconds: float, first: int) -> dict[str, Any]:
    """Fuzz all targets in turn for a number of seconds, each at least once; return the figures."""
    until, number = time.monotonic() + seconds, first
    ran: dict[str, int] = dict.fromkeys((target.name for target in TARGETS), 0)
    failed: dict[str, str] = {}
    while time.monotonic() < until or number == first:
        for target in TARGETS:
            if target.name in failed:
                continue
            try:
                ran[target.name] += fuzz(target, number)
            except BaseException:  # noqa: BLE001  whatever it is, it must not be
                failed[target.name] = traceback.format_exc()[-3000:]
                print(f"{target.name}, seed {number}:\n{failed[target.name]}", file=sys.stderr)
        number += 1
    return {"inputs": sum(ran.values()), "targets": ran, "failed": failed}


def main() -> int:
    """Exit status 1: a target raised another error, or hung."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--out", help="write the figures there, as JSON")
    chosen = parser.parse_args()
    figures = run(chosen.seconds, chosen.first)
    EVALUATOR.close()
    print(json.dumps({**figures, "failed": list(figures["failed"])}, indent=2))
    if chosen.out:
        Path(chosen.out).write_text(json.dumps(figures))
    return 1 if figures["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
