"""Names used in messages. They mean the same in every process and release."""

#: The Postgres schema of all tables except those of the outbox.
SCHEMA = "orchestrator"

#: The Postgres schema that other applications may use: it has the function that submits a start in
#: their own transaction.
OUTBOX_SCHEMA = "orchestrator_outbox"

#: The header that marks a message as a step's:
#: ``{"instance": uuid, "step": int, "task": name, "v": 1}``.
HEADER = "orchestrator"

#: The version of the header's meaning, its ``v``.
HEADER_VERSION = 1

#: The task name of every step's message; the header has the name of the user's task. No app has
#: a task of this name: a worker without `install(app)` that gets such a message discards it.
STEP = "orchestrator.step"

#: The Celery task that processes the inboxes of instances.
ADVANCE = "orchestrator.advance"

#: The Celery task that matches the unmatched events of a namespace.
MATCH = "orchestrator.match"

#: The Celery task that performs every call that is not a Celery task itself.
CALL = "orchestrator.call"
