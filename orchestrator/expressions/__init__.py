"""jq, the expression language of the DSL: the evaluator, the rules, the fast path.

    evaluator = Evaluator()
    evaluator.evaluate(".count + $step", {"count": 1}, {"step": 2})     # 3
    evaluator.check("$ENV", ["input"])                                  # ForbiddenExpression

Theory of operation. `lexer` splits a program into tokens. On the tokens `program_rules` refuses
what is forbidden, and `fast_path` decides whether Python can evaluate the program. libjq evaluates
all other programs in a child process without privileges (`sandbox`, `sandbox_child`): no
environment, no files, bounded memory, bounded CPU time per call.
"""

from orchestrator.expressions.errors import (
    EvaluatorUnavailable,
    ExpressionError,
    ForbiddenExpression,
)
from orchestrator.expressions.evaluator import NOW, Evaluator, SchemaProgram
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
    "SchemaProgram",
    "is_expression",
    "program_of",
    "resolve",
]
