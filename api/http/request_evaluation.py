"""Expressions and schemas that a request has evaluated in the sandbox.

The sandbox runs one program at a time and each takes up to a second, so these requests wait for one
another. While they wait they free their thread slots for other requests; each owner of keys has a
share of the places, and each request a bound of CPU time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from flask import g

from api.http import problem_types
from api.http.app_state import AppState, caller, state
from api.http.problems import Problem
from orchestrator.core.model import Json
from orchestrator.expressions import ExpressionError

#: Seconds of CPU that the expressions and schemas of one request may use in the sandbox.
REQUEST_CPU = 5.0


class RequestEvaluation:
    """Evaluates for one request. Not thread-safe."""

    def __init__(self, app: AppState, owner: str) -> None:
        self._app = app
        self._owner = owner
        self._cpu = 0.0

    def evaluate(self, program: str, value: Json, variables: Mapping[str, Json]) -> Json:
        """Evaluate as `Evaluator.evaluate` does. Raises `Problem` 429, too."""
        return self._app.services.evaluator.evaluate(program, value, variables, self._run)

    def check(self, program: str, variables: Iterable[str]) -> None:
        """Check a program as `Evaluator.check` does. Raises `Problem` 429, too."""
        self._app.services.evaluator.check(program, variables, self._run)

    def _run(self, program: bytes, data: bytes) -> bytes | None:
        if self._cpu >= REQUEST_CPU:
            raise ExpressionError(
                f"the expressions and schemas of this request took more than {REQUEST_CPU:g} s of"
                " CPU time"
            )
        if not self._app.sandbox_places.take(self._owner):
            raise Problem(problem_types.TOO_MANY, "too many requests wait for an evaluation")
        try:
            with self._app.waiters.lend():
                outcome = self._app.services.evaluator.sandbox.run(program, data)
        finally:
            self._app.sandbox_places.free(self._owner)
        self._cpu += outcome.cpu
        return outcome.value()


def evaluation() -> RequestEvaluation:
    """Return the evaluation of the current request, which has one bound of CPU time."""
    if "evaluation" not in g:
        g.evaluation = RequestEvaluation(state(), caller().owner)
    return cast("RequestEvaluation", g.evaluation)
