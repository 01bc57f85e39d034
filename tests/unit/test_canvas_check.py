"""`orchestrator canvas-check`: canvases found in source, without running it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TASKS = """
from celery import Celery, chain, chord, group

app = Celery("shop", broker="memory://", backend="cache+memory://")


@app.task
def add(x, y): return x + y


@app.task
def total(xs): return sum(xs)


@app.task
def on_error(request, exc, traceback): ...
"""

CODE = """
import tasks
from celery import chain, chord, group
from tasks import add, total, on_error

CONSTANT = chain(add.s(1, 1), add.s(2))


def plain(x, y):
    return chain(add.s(x, y), tasks.add.s(2)).apply_async()


def by_operator(x):
    (add.s(x, 1) | add.s(2) | total.s()).delay()


def comprehension(items):
    header = [add.s(item, n) for n, item in enumerate(items)]
    chord(header, total.s()).delay()
    group(add.s(item.price, 1) for item in items.filter(open=True)).apply_async(queue="slow")
    return add.starmap([(item, 1) for item in items])


def options(x, queue):
    chain(add.s(x, 1).set(countdown=x, queue=queue, expires=x), add.s(1)).on_error(on_error.s())


def refused(x):
    chain(add.s(x, 1).set(serializer="pickle"), add.s(1)).delay()
    chain(add.s(x, 1), add.s(1).set(headers={"tenant": x})).delay()


def unknown(parts, follow):
    sigs = []
    for part in parts:
        sigs.append(add.s(part, 1))
    chord(sigs, follow(parts)).delay()
    chain(*parts).delay()


def nothing(x):
    raise SystemExit(add(x | 1, len([x])))
"""


def check(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator.cli", "canvas-check", *more]
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "tasks.py").write_text(TASKS)
    (folder / "canvases.py").write_text(CODE)
    (folder / "main.py").write_text("from tasks import app\nimport canvases\n")
    done = check(folder, "--app", "main:app", "-o", "json")
    assert done.returncode == 1, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def of(found: list[dict[str, Any]], text: str) -> dict[str, Any]:
    return next(row for row in found if text in row["canvas"])


def test_every_canvas_is_found_once(found: list[dict[str, Any]]) -> None:
    places = [row["place"] for row in found]
    assert len(places) == len(set(places)) == 11
    assert all(place.startswith("canvases.py:") for place in places)


@pytest.mark.parametrize(
    "text",
    [
        "chain(add.s(1, 1), add.s(2))",
        "chain(add.s(x, y), tasks.add.s(2))",
        "add.s(x, 1) | add.s(2) | total.s()",
        "chord(header, total.s())",
        "group((add.s(item.price, 1)",
        "add.starmap(",
        "on_error(on_error.s())",
    ],
)
def test_what_converts(found: list[dict[str, Any]], text: str) -> None:
    assert of(found, text)["converts"] == "yes", of(found, text)


def test_what_is_refused_has_its_reason(found: list[dict[str, Any]]) -> None:
    assert "pickle" in of(found, "serializer='pickle'")["reason"]
    row = of(found, "headers={")
    assert (row["converts"], "no headers" in row["reason"]) == ("no", True)


def test_what_only_a_run_knows_is_unknown(found: list[dict[str, Any]]) -> None:
    assert of(found, "chord(sigs, follow(parts))")["converts"] == "unknown"
    assert of(found, "chain(*parts)")["converts"] == "unknown"


def test_a_missing_app_is_said(tmp_path: Path) -> None:
    done = check(tmp_path, "--app", "nowhere")
    assert done.returncode == 3
    assert "the app 'nowhere' can't be imported" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_of_shared_tasks_needs_no_app(tmp_path: Path) -> None:
    code = "from celery import chain, shared_task\n\n@shared_task\ndef f(x): return x\n\n"
    code += "X = chain(f.s(1), f.s())\n"
    (tmp_path / "plain.py").write_text(code)
    done = check(tmp_path, "--app", "plain", "-o", "json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["converts"] == "yes"
