"""What size costs: payloads of 1 kB and 100 kB, a `for` and a fork of 10,000 steps."""

from __future__ import annotations

from collections.abc import Callable

from rich.table import Table

from tests.benchmarks import documents, product_load
from tests.benchmarks.bench_stack import Ground, prepared

#: Items of the large shapes.
MANY = 10_000
#: Instances and steps of each payload's load.
INSTANCES, STEPS = 100, 5


def measure() -> tuple[dict[str, float], list[Table]]:
    """Steps a second by payload and by shape."""
    with prepared() as ground, ground.workers():
        found = payloads(ground) | wide(ground)
    shown = Table("shape", "steps/s", "of the same without")
    for size in ("1kb", "100kb"):
        rate, ratio = found[f"payload_{size}_steps_s"], found[f"payload_{size}_ratio"]
        shown.add_row(f"5 steps that hand on {size}", f"{rate:.0f}", f"{ratio:.2f}")
    for shape in ("for", "fork"):
        rate, ratio = found[f"{shape}_10000_steps_s"], found[f"{shape}_10000_ratio"]
        shown.add_row(f"a {shape} of 10,000", f"{rate:.0f}", f"{ratio:.2f} (of one of 200)")
    return found, [shown]


def payloads(ground: Ground) -> dict[str, float]:
    """Steps a second where each takes and gives a text of so many bytes."""
    body = ground.product.deploy(documents.payload(STEPS))
    ground.product.timed([body | {"input": "x"}] * 10)
    found = {"empty": _rate(ground, body, 1)}
    for name, size in (("1kb", 1_000), ("100kb", 100_000)):
        rate = found[f"payload_{name}_steps_s"] = _rate(ground, body, size)
        found[f"payload_{name}_ratio"] = rate / found["empty"]
    return {name: figure for name, figure in found.items() if name != "empty"}


def _rate(ground: Ground, body: dict[str, object], size: int) -> float:
    """In requests of at most 20 instances, so that the body stays within its bound."""
    portion, steps = 20, INSTANCES * STEPS
    bodies = [body | {"input": "x" * size}] * portion
    ids: list[str] = []
    seconds = product_load.elapsed(lambda: _all(ground, bodies, ids))
    return steps / seconds


def _all(ground: Ground, bodies: list[dict[str, object]], ids: list[str]) -> None:
    while len(ids) < INSTANCES:
        ids += ground.product.start(bodies)
    ground.product.wait(ids)


def wide(ground: Ground) -> dict[str, float]:
    """Steps a second of one large instance, and against one of 200 steps."""
    found: dict[str, float] = {}
    shapes: dict[str, Callable[[int], dict[str, object]]] = {
        "for": lambda count: (
            ground.product.deploy(documents.loop()) | {"input": {"items": list(range(count))}}
        ),
        "fork": lambda count: ground.product.deploy(documents.fork(count)),
    }
    for name, body in shapes.items():
        small = 200 / ground.product.timed(body(200))
        large = MANY / ground.product.timed(body(MANY))
        found |= {f"{name}_10000_steps_s": large, f"{name}_10000_ratio": large / small}
    return found
