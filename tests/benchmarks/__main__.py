"""`make bench`: our figures beside raw Celery's, on the same servers, in one run.

Prints tables; with OUT=file.json also writes the figures. The same tasks, the same two
processes; ours commit every step to Postgres (fsync on), raw Celery keeps nothing. ONLY names
the sections to run (`ONLY=peers,idle`); others of this folder are programs of their own:
`core`, `delay`, `events`, `scale`, `timers`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import idle, million_instances, payload_sizes, peers

SECTIONS = ("peers", "rabbitmq", "shapes", "million", "idle")


def main() -> None:
    """Run the sections, each on servers of its own."""
    chosen = [name for name in os.environ.get("ONLY", "").split(",") if name] or SECTIONS
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        raise SystemExit(f"ONLY may name {', '.join(SECTIONS)}, not {', '.join(unknown)}")
    written: dict[str, float] = {}
    figures: dict[str, dict[str, float]] = {}
    for name in SECTIONS:
        if name in chosen:
            _section(name, written, figures)
    if os.environ.get("OUT"):
        Path(os.environ["OUT"]).write_text(json.dumps({**written, "figures": figures}, indent=2))


def _section(name: str, written: dict[str, float], figures: dict[str, dict[str, float]]) -> None:
    """Run one section, print its tables and keep its figures."""
    tables: list[Table] = []
    if name == "peers":
        found, ratios, tables = peers.measure()
        figures |= found
        written |= ratios
        print(f"bytes a step: {ratios['bytes_per_step']:.0f}")
    elif name == "rabbitmq":
        if "ours" not in figures:
            raise SystemExit("rabbitmq is compared with ours on Valkey: ONLY=peers,rabbitmq")
        found, ratios, tables = peers.measure_rabbitmq(figures["ours"])
        figures |= found
        written |= ratios
    else:
        section = {"shapes": payload_sizes, "million": million_instances, "idle": idle}[name]
        ratios, tables = section.measure()
        written |= ratios
    for table in tables:
        Console(width=130).print(table)


if __name__ == "__main__":
    main()
