"""W2 with a million finished instances in the database, against the empty one."""

from __future__ import annotations

import os
import statistics

from rich.table import Table

from tests.benchmarks import documents, product_load
from tests.benchmarks.bench_stack import prepared
from tests.benchmarks.product_load import Orchestrator

COUNT = int(os.environ.get("INSTANCES", "1000000"))
#: Runs of W2, of which the median counts.
TIMES = 5
#: Instances that one statement makes.
_PORTION = 50_000


def measure() -> tuple[dict[str, float], list[Table]]:
    """The ratio of W2 with so many instances to W2 before them."""
    with prepared() as ground, ground.workers():
        product_load.w2(ground.product)
        before = statistics.median(product_load.w2(ground.product) for _ in range(TIMES))
        multiply(ground.product, COUNT)
        product_load.w2(ground.product)
        after = statistics.median(product_load.w2(ground.product) for _ in range(TIMES))
    shown = Table("finished instances", "W2, steps/s", "ratio", "floor")
    shown.add_row("few", f"{before:.0f}", "", "")
    shown.add_row(f"{COUNT:,}", f"{after:.0f}", f"{after / before:.2f}", "0.9")
    return {"million_ratio": after / before}, [shown]


def multiply(product: Orchestrator, count: int) -> None:
    """So many copies of a finished instance of 5 steps, with its steps, attempts and history."""
    body = product.deploy(documents.sequence(5))
    (template,) = ids = product.start(body)
    product.wait(ids)
    for _ in range(0, count, _PORTION):
        product.sql("drop table if exists pg_temp.copies")
        product.sql(
            f"create temp table copies as select uuidv7() id from generate_series(1, {_PORTION})"
        )
        _copy(product, "instances", "id", template, id="c.id")
        _copy(product, "steps", "instance_id", template, instance_id="c.id")
        _copy(product, "attempts", "instance_id", template, instance_id="c.id", id="uuidv7()")
        _copy(product, "history", "instance_id", template, instance_id="c.id")
    for table in ("instances", "steps", "attempts", "history"):
        product.sql(f"vacuum analyze orchestrator.{table}")


def _copy(product: Orchestrator, table: str, key: str, template: str, **new: str) -> None:
    """The template's rows of a table, once for each copy, with the columns in `new` replaced."""
    columns = [
        name
        for (name,) in product.sql(
            "select attname from pg_attribute where attrelid = %s::regclass"
            " and attnum > 0 and not attisdropped and attgenerated = '' order by attnum",
            f"orchestrator.{table}",
        )
    ]
    quoted = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(new.get(name, f't."{name}"') for name in columns)
    product.sql(
        f"insert into orchestrator.{table} ({quoted}) select {values}"
        f" from copies c cross join orchestrator.{table} t where t.{key} = %s",
        template,
    )
