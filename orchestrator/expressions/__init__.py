"""jq, the expression language of the DSL: the evaluator, what is forbidden, the fast path.

    evaluator = Evaluator()
    evaluator.evaluate(".count + $step", {"count": 1}, {"step": 2})     # 3
    evaluator.check("$ENV", ["input"])                                  # ForbiddenExpression

Theory of operation. A program is cut into tokens once (`tokens`), which is enough to refuse
what is forbidden (`rules`) and to see whether it is plain enough for Python (`fast`).
Everything else is evaluated by libjq in a child process that owns nothing (`sandbox`,
`child`): no environment, no files, a bounded memory, a bounded CPU time for each call.
"""

from orchestrator.expressions.errors import (
    EvaluatorUnavailable,
    ExpressionError,
    ForbiddenExpression,
)
from orchestrator.expressions.evaluator import NOW, Evaluator
from orchestrator.expressions.expression_resolver import (
    Evaluate,
    is_expression,
    program_of,
    resolve,
)

__all__ = [
    "NOW",
    "Evaluate",
    "Evaluator",
    "EvaluatorUnavailable",
    "ExpressionError",
    "ForbiddenExpression",
    "is_expression",
    "program_of",
    "resolve",
]
