"""Errors of expressions: the workflow's, or the machine's."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class ExpressionError(OrchestratorError):
    """The expression could not be evaluated.

    The workflow causes it: at deployment it is an error in the document (422), at run time the DSL
    error `expression` with status 400 (dsl.md, Runtime Expressions).
    """


class ForbiddenExpression(ExpressionError):
    """The expression uses a name that workflows may not use."""


class EvaluatorUnavailable(OrchestratorError):
    """The evaluator cannot answer now.

    The expression is not the cause: nothing commits, and the transition is tried again.
    """
