"""JSON Schemas of workflows' data: compiled once, with a bound on the work of a validation.

    schema = DataSchema({"type": "number"})
    schema.error("text", evaluator.evaluate)
    # SchemaError(path=(), message='"text" is not of type "number"')

Theory of operation. The library validates inside one call that holds the interpreter's lock and
cannot be interrupted, and a small schema can ask for any amount of work: references that double,
recursion, counted repetitions in patterns. `schema_work` bounds the work from above, from the
schema alone, per byte of the value. What is cheap by this bound is validated here. For everything
else the caller's evaluator validates in the sandbox's child process, which has a bound of CPU time
and memory.
"""

from orchestrator.schemas.data_schema import (
    DataSchema,
    SchemaError,
    SchemaUnusable,
    compilation,
)

__all__ = ["DataSchema", "SchemaError", "SchemaUnusable", "compilation"]
