"""Announcements of workers: where their apps route tasks, and how they name queues in Redis.

They outlive their workers: a control worker may have to route a step while none of them runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator import json_codec
from orchestrator.database.connection.session import Session
from orchestrator.database.workers.liveness_queries import LIVE
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt, publishable

#: Days after which an announcement that a newer one of its task contradicts is removed.
CONTRADICTED = 7.0


@dataclass(frozen=True, slots=True)
class TaskRoute:
    """Where an app routes a task. `queue` is None where no queue is certain; `warning` says why,
    or what is uncertain about the queue."""

    task: str
    queue: str | None
    warning: str | None = None


def announce(session: Session, routes: Iterable[TaskRoute], options: dict[str, Any] | None) -> None:
    """Store the routes and the options of a worker's app, as the newest ones. `options`: None for
    an app that takes those of other apps."""
    chosen = sorted(routes, key=lambda route: route.task)  # the same order of locks everywhere
    session.all(
        """
        with options as (
          insert into orchestrator.broker_options (options)
          select %(options)s where %(options)s::text is not null
          on conflict (options) do update set announced_at = clock_timestamp())
        insert into orchestrator.task_routes (task, queue, warning)
        select * from unnest(%(tasks)s::text[], %(queues)s::text[], %(warnings)s::text[])
        on conflict (task, queue) do update
        set announced_at = clock_timestamp(), warning = excluded.warning
        """,
        {
            "options": None if options is None else json_codec.dumps(options),
            "tasks": [route.task for route in chosen],
            "queues": [route.queue or "" for route in chosen],
            "warnings": [route.warning for route in chosen],
        },
    )


#: The live workers, as SQL.
_WORKERS = f"workers as materialized (select queues, tasks from orchestrator.workers where {LIVE})"
#: Where announcements differ (a rollout): the newest whose queue a live worker of the task serves,
#: else the newest. Workers are compared only where a task has more than one announcement.
_CHOSEN = f"""
{_WORKERS},
announced as (
  select task, queue, announced_at, count(*) over (partition by task) as variants
  from orchestrator.task_routes),
chosen as (
  select distinct on (r.task) r.task, r.queue
  from announced r
  order by r.task,
    case when r.variants > 1 then exists (
      select from workers k where r.queue = any(k.queues) and r.task = any(k.tasks)) end desc,
    r.announced_at desc)
"""


def routes(session: Session, lease: float) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the queue of each announced task, and the newest options of the broker. `lease` in
    seconds."""
    rows = session.all(
        f"""
        with {_CHOSEN}
        select task, queue from chosen where queue <> ''
        union all
        (select null, options from orchestrator.broker_options order by announced_at desc limit 1)
        """,
        {"lease": lease},
    )
    options = [json_codec.loads(text) for task, text in rows if task is None]
    return {task: queue for task, queue in rows if task is not None}, (options or [{}])[0]


def differing_routes(session: Session, lease: float) -> list[tuple[str, list[str], str]]:
    """Return the tasks with more than one announced queue: ``(task, queues, the chosen one)``, the
    newest first; only where a live worker has the task."""
    rows = session.all(
        f"""
        with {_CHOSEN}
        select c.task, array_agg(r.queue order by r.announced_at desc), c.queue
        from chosen c
        join orchestrator.task_routes r on r.task = c.task
        where exists (select from workers k where c.task = any(k.tasks))
        group by c.task, c.queue
        having count(*) > 1
        order by c.task
        """,
        {"lease": lease},
    )
    return [(task, list(queues), chosen) for task, queues, chosen in rows]


def differing_options(session: Session, days: float = 1.0) -> list[str]:
    """Return the options of the broker announced within `days`, the newest first."""
    return [
        text
        for (text,) in session.all(
            """
            select options from orchestrator.broker_options
            where announced_at > clock_timestamp() - %s * interval '1 day'
            order by announced_at desc
            """,
            (days,),
        )
    ]


def warnings(session: Session, lease: float) -> list[tuple[str, str]]:
    """Return ``(task, warning)`` of the chosen announcements that have one."""
    rows = session.all(
        f"""
        with {_CHOSEN}
        select r.task, r.warning from chosen c
        join orchestrator.task_routes r on r.task = c.task and r.queue = c.queue
        where r.warning is not null
        order by r.task
        """,
        {"lease": lease},
    )
    return [(task, warning) for task, warning in rows]


@dataclass(frozen=True, slots=True)
class Served:
    """The queues that live workers of each task serve, the announced routes and their warnings."""

    by_task: Mapping[str, frozenset[str]]
    routes: Mapping[str, str]
    warnings: Mapping[str, str]
    default_queue: str

    def problem(self, task: str, named: str | None) -> str | None:
        """Return what is wrong with the queue of a task; None where nothing is, or where no live
        worker has the task. `named`: the queue that the document names, if it does."""
        served = self.by_task.get(task)
        queue = named or self.routes.get(task, self.default_queue)
        if served and queue not in served:
            return (
                f"no live worker of {task} serves the queue {queue}; they serve"
                f" {', '.join(sorted(served))}: name one in metadata.queue, or start a worker"
            )
        if named is None and task in self.warnings:
            return f"the queue of {task} is uncertain: {self.warnings[task]}; name metadata.queue"
        return None


def served(session: Session, lease: float, default_queue: str) -> Served:
    """Return what `Served` describes. `lease` in seconds."""
    rows = session.all(
        f"""
        with {_WORKERS}
        select task, array_agg(distinct queue)
        from workers, unnest(tasks) task, unnest(queues) queue
        group by task
        """,
        {"lease": lease},
    )
    return Served(
        {task: frozenset(queues) for task, queues in rows},
        routes(session, lease)[0],
        dict(warnings(session, lease)),
        default_queue,
    )


@dataclass(frozen=True, slots=True)
class Misrouted:
    """A ready attempt whose queue no live worker of its task serves, and the queue that its task
    is routed to now, which one serves."""

    attempt: str
    instance: str
    workflow: str
    reference: str
    queue: str
    new_queue: str


def misrouted(session: Session, lease: float, limit: int = 100) -> list[Misrouted]:
    """Return ready attempts that could be routed anew."""
    rows = session.all(
        f"""
        with {_CHOSEN},
        served as (
          select c.task, c.queue from chosen c
          where exists (
            select from workers k where c.task = any(k.tasks) and c.queue = any(k.queues)))
        select a.id::text, a.instance_id::text, i.workflow_id::text, s.reference, a.queue, n.queue
        from orchestrator.attempts a
        join served n on n.task = a.task and n.queue <> a.queue
        join orchestrator.steps s on s.instance_id = a.instance_id and s.id = a.step
        join orchestrator.instances i on i.id = a.instance_id
        where a.state = 'ready' and not a.withdrawn
          and not exists (
            select from workers k where a.task = any(k.tasks) and a.queue = any(k.queues))
        order by a.id
        limit %(limit)s
        """,
        {"lease": lease, "limit": limit},
    )
    return [Misrouted(*row) for row in rows]


def reroute(session: Session, found: Iterable[Misrouted]) -> list[PublishableAttempt]:
    """Move attempts that are still ready to their new queues. Return them, stamped as published."""
    chosen = sorted(found, key=lambda each: each.attempt)
    return publishable(
        session,
        """
        update orchestrator.attempts a
        set queue = n.new, published_at = clock_timestamp(), refused_at = null
        from unnest(%(ids)s::uuid[], %(old)s::text[], %(new)s::text[]) n (id, old, new)
        where a.id = n.id and a.queue = n.old and a.state = 'ready'
        """,
        {
            "ids": [each.attempt for each in chosen],
            "old": [each.queue for each in chosen],
            "new": [each.new_queue for each in chosen],
        },
    )


def purge(session: Session, days: float = CONTRADICTED) -> None:
    """Remove announcements older than `days` that a newer one of the same task contradicts."""
    session.all(
        """
        with old as (
          delete from orchestrator.broker_options o
          where announced_at < clock_timestamp() - %(days)s * interval '1 day'
            and exists (
              select from orchestrator.broker_options n where n.announced_at > o.announced_at))
        delete from orchestrator.task_routes r
        where announced_at < clock_timestamp() - %(days)s * interval '1 day'
          and exists (
            select from orchestrator.task_routes n
            where n.task = r.task and n.announced_at > r.announced_at)
        """,
        {"days": days},
    )
