"""What the whole stack costs when nothing happens: memory (PSS) and CPU.

The processes are those that users start: `orchestrator api`, `beat` and `worker -c 2`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import redis
from rich.table import Table

from tests.benchmarks import documents
from tests.benchmarks.bench_stack import Ground, prepared

#: Seconds of rest that are measured.
REST = float(os.environ.get("REST", "60"))


def measure() -> tuple[dict[str, float], list[Table]]:
    """PSS in MB and the share of one core: of our processes, and with Postgres and the broker."""
    with prepared(own=True) as ground, ground.own_workers():
        # Warm: what is loaded with the first instance counts.
        ground.product.timed(ground.product.deploy(documents.sequence(5)))
        ours = {
            name: _family(process.pid)
            for name, process in ground.stack.supervisor.processes.items()
        }
        everything = {**ours, "servers": _servers(ground)}
        before = {name: _cpu(family) for name, family in everything.items()}
        time.sleep(REST)  # the rest is what is measured
        spent = {name: (_cpu(family) - before[name]) / REST for name, family in everything.items()}
        memory = {name: sum(_pss(one) for one in family) for name, family in everything.items()}
    shown = Table("processes", "PSS, MB", "CPU, % of a core")
    for name in everything:
        shown.add_row(name, f"{memory[name]:.0f}", f"{100 * spent[name]:.2f}")
    total = {"idle_pss_mb": sum(memory.values()), "idle_cpu_percent": 100 * sum(spent.values())}
    shown.add_row("all", f"{total['idle_pss_mb']:.0f}", f"{total['idle_cpu_percent']:.2f}")
    return total, [shown]


def _family(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _servers(ground: Ground) -> list[psutil.Process]:
    """Postgres and the broker, as they name themselves."""
    ((backend,),) = ground.product.sql("select pg_backend_pid()")
    postmaster = psutil.Process(backend).parent()
    assert postmaster is not None
    with redis.Redis.from_url(ground.stack.broker_url) as broker:
        server = int(broker.info("server")["process_id"])
    return [*_family(postmaster.pid), *_family(server)]


def _cpu(family: list[psutil.Process]) -> float:
    spent = 0.0
    for process in family:
        if process.is_running():
            times = process.cpu_times()
            spent += times.user + times.system
    return spent


def _pss(process: psutil.Process) -> float:
    """The process's proportional share of memory in MB; 0 once it has ended."""
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (
        sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1e3
    )
