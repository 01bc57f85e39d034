"""The Scheduler Component: what falls due, and what the beats do for all.

Theory of operation. Everything that is due some time is a row: a step's or an instance's timer
(`database.timers`), a schedule's next due time, a periodic entry's. Any number of beats look
at all of them (`chores`, `entries`); each row falls to one of them, by a row lock that the
others skip, and what was done about it commits with it. Between two looks a beat sleeps until
the next due time, or until Postgres tells it of an earlier one (`wake`). Only the database's
clock says what is due.

When schedules are due is decided by pure functions: `cron` and `recurrence` know the due
times, `policy` what a document says of them, `deciding` what becomes of those that were missed
or overlap. `firing` carries that out; `schedules` is what others do to schedules.

Besides, the beats look after the workers (`watchdog`) and after what was lost (`chores`).
"""
