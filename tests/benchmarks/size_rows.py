"""Rows by the million for `tests.benchmarks.size`, made in Postgres by `generate_series`.

What they look like is what a year of use leaves behind: nearly all instances have ended, the
newest stand open, one namespace has most of them, workflows have had several versions, few
instances have faulted. Statements take `first` and `last`, the numbers of a portion.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg2

#: Instances of one portion.
PORTION = 50_000

#: Numbers are ages: instance 1 is the oldest, `n` of `size` the newest.
_INSTANCES = """
insert into orchestrator.instances (
  id, namespace, workflow_id, workflow, version, business_id, status, compensation, sequence,
  last_number, open_places, input, output, error, labels, parent_instance, parent_step,
  created_at, started_at, ended_at)
select uuidv7(born - clock_timestamp()), w.namespace, w.id, w.name, w.version,
       case when n %% 5 > 0 then 'order-' || n end, status,
       case when status <> 'faulted' then 'none'
            else (array['completed', 'completed', 'failed', 'none'])[1 + n %% 4] end,
       %(steps)s + 2, %(steps)s * 2, case when open then 1 else 0 end,
       json_build_object('id', 'order-' || n, 'customer', 'c-' || n %% 50000, 'total', n %% 997),
       case when status = 'completed' then '{"charge": "ch-1", "shipped": true}'::json end,
       case when status = 'faulted' then
         '{"type": "https://shop.example/errors/card-declined", "status": 402}'::json end,
       case when n %% 10 < 7 then jsonb_build_object(
         'customer', 'c-' || n %% 50000, 'env', case when n %% 20 = 0 then 'test' else 'prod' end)
         || case when n %% 100000 = 1 then '{"vip": "yes"}'::jsonb else '{}' end end,
       null, null, born,
       case when status <> 'pending' then born + case when n %% 100 = 0 then interval '2 hours'
            else interval '20 ms' end end,
       case when not open then born + interval '2 hours 3 s' end
  from (
    select n, born, status, status in ('pending', 'running', 'waiting', 'suspended') as open,
           -- 60 in 100 are of the first namespace; the version follows the age
           case when n %% 10 < 6 then n %% 6 else 6 + n * 7 %% 34 end as workflow,
           case when n < %(size)s * 0.02 then 0 when n < %(size)s * 0.7 then 1 else 2 end as turn
      from (
        select n, clock_timestamp() - (%(size)s - n) * interval '7.5 s' as born,
               case when n > %(size)s * 0.99 or n %% 50000 = 3 then
                      (array['running','running','running','waiting','pending',
                             'waiting','running','suspended','running','running'])[1 + n %% 10]
                    when n %% 67 = 0 then 'faulted' when n %% 211 = 0 then 'cancelled'
                    else 'completed' end as status
          from generate_series(%(first)s, %(last)s) n) a) b
  join size_workflows w on w.workflow = b.workflow and w.turn = b.turn
"""

_WORKFLOWS = """
create table size_workflows as
select gen_random_uuid() as id, w as workflow, t as turn,
       case when w < 6 then 'shop' else 'team-' || w %% 7 end as namespace,
       (array['order','refund','invoice','payout','import','report'])[1 + w %% 6] ||
       case when w < 6 then '' else '-' || w end as name,
       (array['0.9.0','1.0.0','1.1.0'])[t + 1] as version
  from generate_series(0, 39) w, generate_series(0, 2) t;
insert into orchestrator.workflows (id, namespace, name, version, version_key, digest, document,
                                    source, media_type, warnings)
select id, namespace, name, version, version, md5(id::text),
       json_build_object('document', json_build_object('dsl', '1.0.3', 'namespace', namespace,
         'name', name, 'version', version, 'title', 'Sells things'), 'do', '[]'::json),
       '{}', 'application/json', '[]' from size_workflows;
"""

#: What follows is made of the instances whose numbers, in the order of ids, are in the portion.
_OF = """
create temporary table part on commit drop as
select id, status, created_at, row_number() over (order by id) + %(first)s - 1 as n,
       status in ('pending', 'running', 'waiting', 'suspended') as open
  from size_instances where n between %(first)s and %(last)s;
"""

_STEPS = """
insert into orchestrator.steps (instance_id, id, parent, reference, kind, status,
                                completion_number, compensated_by, started_at, ended_at,
                                input, output, error)
select p.id, s * 2, 0, '/do/' || s - 1 || '/step' || s, 'call',
       case when s < %(steps)s or not p.open then
              case when s = %(steps)s and p.status = 'faulted' then 'faulted' else 'completed' end
            else 'running' end,
       s * 2 + 1, case when s = 2 then '/do/1/step2/metadata/compensate' end,
       p.created_at + s * interval '10 ms', p.created_at + s * interval '19 ms',
       '{"order": "o-1"}', '{"reservation": "r-1", "ok": true}', null
  from part p, generate_series(1, %(steps)s) s order by p.id, s
"""

_ATTEMPTS = """
insert into orchestrator.attempts (id, instance_id, step, number, starts, state, task, queue,
  created_at, published_at, publish_count, claimed_at, ended_at, worker, process, token)
select uuidv7(at - clock_timestamp()), p.id, s * 2, 1, 1,
       case when s < %(steps)s or not p.open then
              case when s = %(steps)s and p.status = 'faulted' then 'failed' else 'succeeded' end
            when p.n %% 3 = 0 then 'ready' else 'claimed' end,
       'shop.tasks.step' || s, (array['celery', 'payments', 'mail'])[1 + s %% 3],
       at, at, 1, at + interval '2 ms', at + interval '9 ms', w.id, 1, 'token'
  from part p cross join generate_series(1, %(steps)s) s
  cross join lateral (select p.created_at + s * interval '10 ms' as at) a
  join size_workers w on w.n = p.n %% 20 order by p.id, s
"""

_HISTORY = """
insert into orchestrator.history (instance_id, sequence, at, seed, stimulus, facts)
select p.id, s, p.created_at + s * interval '10 ms', 1, '{"kind": "result", "step": 2}',
       '[["task.completed", 2], ["task.started", 4]]'
  from part p, generate_series(1, %(steps)s + 2) s order by p.id, s
"""

#: What there is less of: made at the end, for all.
_REST = {
    "timers": """
insert into orchestrator.timers (instance_id, step, kind, due_at)
select id, %(steps)s * 2, 'wait', clock_timestamp() + n %% 100000 * interval '1 min'
  from size_instances where n > %(size)s * 0.9
""",
    "listeners": """
insert into orchestrator.listeners (instance_id, step, namespace, mode, filters, created_at,
                                    lookbacks_done)
select i.id, %(steps)s * 2, i.namespace, 'one', '[{"with": {"type": "paid"}}]', i.created_at, 1
  from size_instances s join orchestrator.instances i on i.id = s.id where s.n > %(size)s * 0.95
""",
    "events": """
insert into orchestrator.events (id, namespace, event_id, source, type, event, created_at,
                                 matched_at)
select gen_random_uuid(), case when n %% 10 < 6 then 'shop' else 'team-' || n %% 7 end, 'e-' || n,
       '/till/' || n %% 100, case when n %% 50000 = 1 then 'rare' else 'paid.' || n %% 20 end,
       json_build_object('id', 'e-' || n), clock_timestamp() - (%(size)s - n) * interval '1 s',
       clock_timestamp() from generate_series(1, %(size)s / 2) n
""",
    "dead_letters": """
insert into orchestrator.dead_letters (id, namespace, instance_id, step, reason, error, created_at,
                                       resolved_at)
select gen_random_uuid(), i.namespace, i.id, 4, 'compensation', '{"status": 500}', i.ended_at,
       case when row_number() over (order by i.id desc) > 500 then i.ended_at end
  from orchestrator.instances i where status = 'faulted'
""",
    "audit": """
insert into orchestrator.audit_log (at, namespace, actor, action, target)
select i.created_at, i.namespace, 'ops',
       case when s.n %% 100000 = 5 then 'instance.skip' else 'instance.retry' end, i.id::text
  from size_instances s join orchestrator.instances i on i.id = s.id where s.n %% 5 = 0
""",
    "deliveries": """
insert into orchestrator.subscriptions (id, namespace, filter, lifecycle, target)
select gen_random_uuid(), 'shop', '{}', false, '{"url": "https://example.org"}'
  from generate_series(1, 20);
insert into orchestrator.deliveries (id, subscription_id, event, state, retry_until, http_status,
                                     created_at, ended_at)
select gen_random_uuid(), s.id, n, case when n %% 100 = 0 then 'failed' else 'delivered' end,
       clock_timestamp(), 200, clock_timestamp() - n * interval '1 s', clock_timestamp()
  from orchestrator.subscriptions s, generate_series(1, %(size)s / 50) n
""",
    "firings": """
insert into orchestrator.schedules (id, namespace, workflow, kind, workflow_id, version, timing,
                                    policy, anchor)
select gen_random_uuid(), namespace, name, 'every', id, version, '{}', '{}', clock_timestamp()
  from size_workflows where turn = 2;
insert into orchestrator.firings (schedule_id, due, reason, outcome, fires_at, version)
select s.id, clock_timestamp() - n * interval '1 min', 'schedule',
       case when n %% 1000 = 0 then 'skipped' else 'started' end, clock_timestamp(), s.version
  from orchestrator.schedules s, generate_series(1, %(size)s / 100) n
""",
}

_WORKERS = """
create table size_workers as select gen_random_uuid() as id, n from generate_series(0, 19) n;
insert into orchestrator.workers (id, name, pid, pool, concurrency, queues, tasks, free_slots,
                                  last_heartbeat_at)
select id, 'worker' || n || '@host', 1, 'prefork', 8, '{celery,payments,mail,orchestrator}',
       '{shop.tasks.step1}', 4, clock_timestamp() + interval '1 day' from size_workers;
"""

_NUMBERED = """
create table size_instances as
select id, status, created_at, row_number() over (order by id) as n from orchestrator.instances;
create index on size_instances (n);
"""


def fill(url: str, size: int, steps: int, say: Callable[[str], None]) -> None:
    """Fill an empty, migrated database with `size` instances of `steps` steps each."""
    connection = psycopg2.connect(url)
    numbers = {"size": size, "steps": steps}
    indexes = _without_indexes(connection)
    _do(connection, say, "workflows and workers", _WORKFLOWS + _WORKERS, **numbers)
    for portion in _portions(size):
        _do(connection, say, f"instances to {portion['last']:,}", _INSTANCES, **numbers, **portion)
    _do(connection, say, "their numbers", _NUMBERED)
    for portion in _portions(size):
        whole = f"{_OF};{_STEPS};{_ATTEMPTS};{_HISTORY}"
        _do(connection, say, f"steps to {portion['last']:,}", whole, **numbers, **portion)
    for name, statement in _REST.items():
        _do(connection, say, name, statement, **numbers)
    for index in indexes:
        _do(connection, say, index.partition(" ON ")[0].lower(), index)
    connection.autocommit = True
    _do(connection, say, "vacuum analyze", "vacuum analyze")
    connection.close()


def _portions(size: int) -> list[dict[str, int]]:
    firsts = range(1, size + 1, PORTION)
    return [{"first": first, "last": min(first + PORTION - 1, size)} for first in firsts]


def _without_indexes(connection: Any) -> list[str]:
    """Drop the indexes that no constraint needs, to build them at once afterwards."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index i"
            " join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace"
            " where nspname = 'orchestrator' and not indisunique"
        )
        found = cursor.fetchall()
        for name, _ in found:
            cursor.execute(f"drop index {name}")
    return [definition for _, definition in found]


def _do(
    connection: Any, say: Callable[[str], None], what: str, statements: str, **params: Any
) -> None:
    began = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(statements, params or None)
    connection.commit()
    say(f"{what}: {time.perf_counter() - began:.1f} s")
