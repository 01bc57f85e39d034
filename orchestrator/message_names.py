"""Names that stand in messages, and so mean the same in every process and release."""

#: The schema of Postgres that holds everything.
SCHEMA = "orchestrator"

#: The header that marks a message as a step's: ``{"instance": uuid, "step": int, "v": 1}``.
HEADER = "orchestrator"

#: The Celery task that brings the waiting stimuli of an instance.
ADVANCE = "orchestrator.advance"

#: The Celery task that matches the waiting events of a namespace.
MATCH = "orchestrator.match"

#: The Celery task that carries out every call that is not a Celery task itself.
CALL = "orchestrator.call"
