"""What can go wrong with an expression: the workflow's fault, or the machine's."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class ExpressionError(OrchestratorError):
    """The expression could not be evaluated.

    The workflow's own fault: at deployment a problem of the document (422), at run time the
    DSL error `expression` with status 400 (dsl.md, Runtime Expressions).
    """


class ForbiddenExpression(ExpressionError):
    """The expression uses something that workflows may not use."""


class EvaluatorUnavailable(OrchestratorError):
    """The expression evaluator cannot answer right now.

    Says nothing about the expression: nothing commits, and the transition is tried again.
    """
