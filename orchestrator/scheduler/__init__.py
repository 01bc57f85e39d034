"""The Scheduler Component: timers, schedules, periodic entries and the maintenance of the beats.

Theory of operation. Every due time is a row: a step's or an instance's timer
(`database.schedules.timer_queries`), a schedule's next due time, a periodic entry's. Any number of
beats read all of them (`maintenance_loop`, `celery_beat_entries`). A row lock that other beats skip
gives each row to one beat, and the beat's changes commit with the row. Between two rounds a beat
sleeps until the next due time, or until Postgres notifies it of an earlier one
(`interruptible_sleep`). Only the database's clock decides what is due.

`schedules` has the workflow schedules: pure functions decide when they are due and which due times
fire; other modules carry that out.

The beats also declare attempts of silent workers lost (`lease_watchdog`) and repeat lost messages
and hints (`maintenance_loop`, `hint_resender`).
"""
