"""The Task Execution Layer: what makes any Celery task of an app a step.

Theory of operation. `install` gives each task's class a mixin (`mixin`) whose ``__trace__``
looks at every message. One without our header goes to Celery's own tracer, untouched. One
with it is only a hint: the attempt that it names is claimed in Postgres (`steps`), the real
arguments are put in place, and Celery's tracer runs the task. Around the body, and before
Celery hears of it, the way it ended is committed (`hold`, `outcomes`). Then the next step may
be run at once, in a loop outside the predecessor's body and signals (`chain`,
`continuation`).

Around that: each process writes what it has in hand into shared memory (`hands`), which the
main process reports (`heartbeat`); what only the main process learns of, such as the death of
a child, is turned into transitions there (`signals`, `losses`); `shutdown` and `deaf` end or
restart a worker in order. `bootsteps` ties all of it to the life of Celery's worker.
"""
