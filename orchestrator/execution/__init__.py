"""The Task Execution Layer: what makes any Celery task of an app a step.

`install` (`installation`) adds a mixin (`celery_hooks.task_mixin`) to each task's class. The
mixin's ``__trace__`` checks every message. A message without our header goes to Celery's own
tracer, unchanged. A message with the header is a hint: the worker claims the attempt that it names
in Postgres (`step.message_handler`), inserts the real arguments, and calls Celery's tracer. How
the body ends is committed before Celery learns of it (`step.running_attempt`,
`step.task_outcome`). Then the process may run the next step at once, in a loop outside the first
task's body and signals (`step.step_runner`, `runtime.continuation_rules`).

Each process writes the ids of its attempts to shared memory (`runtime.in_flight_table`), and the
main process reports them to Postgres (`worker.heartbeat`). The main process also sees children
exit and reports their attempts as lost (`worker.signal_receivers`, `worker.lost_attempt_reporter`).
`worker.main_process` stops the worker in order, `worker.consumer_watchdog` restarts it when its
consumer stalls, and `worker.bootsteps` starts all of this with Celery's worker.
"""
