"""The Error Handler: converts exceptions of tasks to errors of the DSL."""
