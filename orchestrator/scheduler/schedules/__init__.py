"""Workflow schedules: when they are due, which due times fire, and which instances start.

`cron` and `recurrence` compute due times, `policy_options` reads a document's policies, and
`firing_policy` decides about missed and overlapping due times: all pure. `firing_record` and
`due_schedules` carry the decisions out; `schedule_deployment` changes schedules for deployments,
`schedule_management` for people and events.
"""
