"""`canvas-check`: which canvases in a project's code run as workflows."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.exit_codes import Exit, Failure, exit_with
from orchestrator.cli.options import Shared, shared_options

_COLUMNS = ("place", "converts", "canvas", "reason")
_ANSWERS = {True: "yes", False: "no", None: "unknown"}


@click.command("canvas-check")
@click.option("--app", required=True, metavar="MODULE", help="The Celery app, as for `celery -A`.")
@shared_options
def canvas_check(shared: Shared, app: str) -> None:
    """List the canvases in the code of a Celery app, and say which run as workflows.

    The app's modules are imported, no task is called. Exits with 1 if a canvas does not convert.
    """
    from orchestrator.canvas.source_check import canvases_of, project_modules

    celery_app, root = _app(app), Path.cwd()
    found = list(canvases_of(celery_app, project_modules(celery_app, root)))
    rows = [
        {
            "place": f"{os.path.relpath(one.file, root)}:{one.line}",
            "converts": _ANSWERS[one.converts],
            "canvas": one.expression,
            "reason": one.reason,
        }
        for one in found
    ]
    shared.printer.rows(rows, _COLUMNS)
    if any(one.converts is False for one in found):
        exit_with(Exit.FAULTED)


def _app(name: str) -> Any:
    """Return the app of a module; the default one of a module with nothing but shared tasks."""
    from celery import current_app
    from celery.app.utils import find_app

    sys.path.insert(0, str(Path.cwd()))
    try:
        found = find_app(name)
    except AttributeError:
        found = None
    except ImportError as error:
        raise Failure(f"the app {name!r} can't be imported: {error}", Exit.NOT_FOUND) from None
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise Failure(f"importing {name!r} failed: {reason}", Exit.USAGE) from error
    return found if hasattr(found, "finalize") else current_app
