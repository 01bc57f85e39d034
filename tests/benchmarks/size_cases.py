"""What the API is asked at size: every list, filter, get and count, by what it is for.

A path may name rows: `{instance}` (ended), `{open}`, `{faulted}`, `{event}`, `{letter}`,
`{subscription}`, `{delivery}`, `{schedule}`, and times: `{recently}`, `{long_ago}`, `{midway}`.
"""

from __future__ import annotations

LIST = "/v1/instances"

#: Asked with a key that opens everything; the second time, where it says so, page by page.
CASES: dict[str, str] = {
    # instances
    "the newest": LIST,
    "the oldest": f"{LIST}?sort=created_at",
    "1,000 of them": f"{LIST}?limit=1000",
    "of a large namespace": f"{LIST}?namespace=shop",
    "of a small namespace": f"{LIST}?namespace=team-3",
    "running": f"{LIST}?status=running",
    "running, the oldest first": f"{LIST}?status=running&sort=created_at",
    "suspended": f"{LIST}?status=suspended",
    "completed": f"{LIST}?status=completed",
    "faulted": f"{LIST}?status=faulted",
    "faulted or cancelled": f"{LIST}?status=faulted,cancelled",
    "all that are open": f"{LIST}?status=pending,running,waiting,suspended",
    "compensated": f"{LIST}?compensation=completed",
    "compensation failed": f"{LIST}?compensation=failed",
    "compensation running (none)": f"{LIST}?compensation=running",
    "of a workflow": f"{LIST}?workflow=shop/order",
    "of a workflow, by name only": f"{LIST}?workflow=order",
    "of a small workflow": f"{LIST}?workflow=team-3/import-10",
    "of an old version": f"{LIST}?workflow=shop/order/0.9.0",
    "of the newest version, the oldest first": f"{LIST}?workflow=shop/order/1.1.0&sort=created_at",
    "of no such workflow": f"{LIST}?workflow=shop/none",
    "faulted, of a workflow": f"{LIST}?status=faulted&workflow=shop/order",
    "running, of a workflow, the oldest first": (
        f"{LIST}?status=running&workflow=shop/order&sort=created_at"
    ),
    "faulted, of an old version": f"{LIST}?status=faulted&workflow=shop/order/0.9.0",
    "running, of an old version": f"{LIST}?status=running&workflow=shop/order/0.9.0",
    "by business_id": f"{LIST}?business_id=order-4242",
    "by a business_id of nobody": f"{LIST}?business_id=nobody",
    "by a label that few have": f"{LIST}?label.customer=c-77",
    "by a label that most have": f"{LIST}?label.env=prod",
    "by a label that very few have": f"{LIST}?label.vip=yes",
    "by a label of nobody": f"{LIST}?label.none=x",
    "by two labels": f"{LIST}?label.env=prod&label.customer=c-77",
    "faulted, by a label that most have": f"{LIST}?status=faulted&label.env=prod",
    "by a label, of a workflow": f"{LIST}?label.customer=c-77&workflow=shop/order",
    "by a member of the input that few have": f"{LIST}?input.customer=c-77",
    "by a member of the input that more have": f"{LIST}?input.total=17",
    "by a member of the input, faulted": f"{LIST}?input.customer=c-77&status=faulted",
    "by a member of the input that none has": f"{LIST}?input.customer=nobody",
    "started lately": f"{LIST}?started_after={{recently}}",
    "started lately, the oldest first": f"{LIST}?started_after={{recently}}&sort=created_at",
    "started since the middle, the oldest first": (
        f"{LIST}?started_after={{midway}}&sort=created_at"
    ),
    "started long ago": f"{LIST}?started_before={{long_ago}}",
    "started before the middle": f"{LIST}?started_before={{midway}}",
    "started in a stretch": (f"{LIST}?started_after={{midway}}&started_before={{after_midway}}"),
    "faulted, started lately": f"{LIST}?status=faulted&started_after={{recently}}",
    "faulted, started long ago": f"{LIST}?status=faulted&started_before={{long_ago}}",
    "by the time of the start": f"{LIST}?sort=-started_at",
    "by the time of the start, the first": f"{LIST}?sort=started_at",
    "by the time of the start, lately": f"{LIST}?sort=started_at&started_after={{recently}}",
    "by the time of the start, since the middle": (
        f"{LIST}?sort=started_at&started_after={{midway}}"
    ),
    "by the time of the start, faulted": f"{LIST}?sort=-started_at&status=faulted",
    "counts": f"{LIST}/counts",
    "counts of a workflow": f"{LIST}/counts?workflow=shop/order",
    "counts of an old version": f"{LIST}/counts?workflow=shop/order/0.9.0",
    "counts by a label that most have": f"{LIST}/counts?label.env=prod",
    "counts by a label that few have": f"{LIST}/counts?label.customer=c-77",
    "counts by a member of the input": f"{LIST}/counts?input.customer=c-77",
    "counts of those started lately": f"{LIST}/counts?started_after={{recently}}",
    "counts of those started since the middle": f"{LIST}/counts?started_after={{midway}}",
    "q: the beginning of an id": f"{LIST}?q={{instance_begins}}",
    "q: a business_id": f"{LIST}?q=order-4242",
    "q: how most business_ids begin": f"{LIST}?q=order-",
    "q: a workflow": f"{LIST}?q=refund",
    "q: nothing": f"{LIST}?q=zzz",
    # one instance
    "an instance": f"{LIST}/{{instance}}",
    "an open instance": f"{LIST}/{{open}}",
    "its steps": f"{LIST}/{{instance}}/steps",
    "a step": f"{LIST}/{{instance}}/steps/4",
    "its steps, by status": f"{LIST}/{{instance}}/steps?status=faulted",
    "its history": f"{LIST}/{{instance}}/history",
    "its compensation": f"{LIST}/{{faulted}}/compensation",
    "why it stands still": f"{LIST}/{{open}}/why",
    # across instances
    "workflows": "/v1/workflows",
    "a workflow": "/v1/workflows/shop/order",
    "its versions": "/v1/workflows/shop/order/versions",
    "queues": "/v1/queues",
    "workers": "/v1/workers",
    "namespaces": "/v1/namespaces",
    "timers": "/v1/timers",
    "listeners": "/v1/listeners",
    "events": "/v1/events",
    "events of a namespace": "/v1/events?namespace=team-3",
    "events of a type": "/v1/events?type=paid.3",
    "events of a rare type": "/v1/events?type=rare",
    "events of a source": "/v1/events?source=/till/7",
    "an event": "/v1/events/{event}",
    "dead letters": "/v1/dead-letters",
    "dead letters, open": "/v1/dead-letters?resolved=false",
    "dead letters of an instance": "/v1/dead-letters?instance={faulted}",
    "a dead letter": "/v1/dead-letters/{letter}",
    "audit": "/v1/audit",
    "audit of one thing": "/v1/audit?target={instance}",
    "audit of a rare action": "/v1/audit?action=instance.skip",
    "subscriptions": "/v1/subscriptions",
    "deliveries": "/v1/subscriptions/{subscription}/deliveries",
    "deliveries that failed": "/v1/subscriptions/{subscription}/deliveries?state=failed",
    "schedules": "/v1/schedules",
    "firings": "/v1/schedules/{schedule}/firings",
    "firings that were skipped": "/v1/schedules/{schedule}/firings?outcome=skipped",
    "keys": "/v1/keys",
}

#: Asked with a key for one small namespace.
SCOPED = {
    "the newest": LIST,
    "faulted": f"{LIST}?status=faulted",
    "by a label that most have": f"{LIST}?label.env=prod",
    "timers": "/v1/timers",
    "listeners": "/v1/listeners",
    "events": "/v1/events",
    "dead letters": "/v1/dead-letters",
    "audit": "/v1/audit",
}

#: Asked page by page, the tenth is timed.
PAGED = {
    "the newest": LIST,
    "faulted": f"{LIST}?status=faulted",
    "of a workflow": f"{LIST}?workflow=shop/order",
}

#: Where the rows and times that paths name come from.
NAMED = {
    "instance": (
        "select id from size_instances where status = 'completed' and n > %(middle)s limit 1"
    ),
    "instance_begins": "select left(id::text, 13) from size_instances where n = %(middle)s",
    "open": "select id from size_instances where status = 'running' order by n desc limit 1",
    "faulted": "select id from size_instances where status = 'faulted' order by n limit 1",
    "event": "select id from orchestrator.events limit 1",
    "letter": "select id from orchestrator.dead_letters limit 1",
    "subscription": "select id from orchestrator.subscriptions limit 1",
    "schedule": "select id from orchestrator.schedules limit 1",
    "recently": "select max(created_at) - interval '5 min' from size_instances",
    "long_ago": "select min(created_at) + interval '5 min' from size_instances",
    "midway": "select created_at from size_instances where n = %(middle)s",
    "after_midway": "select created_at + interval '1 h' from size_instances where n = %(middle)s",
}
