"""The invariants as queries over the product's tables, and over a separate ledger of effects.

Every query returns the rows that must not exist. `problems(reader)` works on any idle database;
with the ids that clients received and the ledger of effects, more queries apply.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

OPEN = "('pending', 'running', 'waiting', 'suspended')"
_LIVE = "('ready', 'claimed')"

#: Steps that undo others, with all below them.
_UNDOING = (
    "with recursive undoing as (select instance_id, id from orchestrator.steps"
    " where compensates is not null union all select s.instance_id, s.id from orchestrator.steps s"
    " join undoing u on s.instance_id = u.instance_id and s.parent = u.id)"
)

#: The newest attempt of each step.
_LAST = (
    "with last as (select distinct on (instance_id, step) * from orchestrator.attempts"
    " order by instance_id, step, number desc)"
)

#: Those of the load's own instances that completed; a condition on their workflow follows.
_OF_CHAOS = (
    "from orchestrator.instances i join orchestrator.workflows w on w.id = i.workflow_id"
    " and w.namespace = 'chaos' where i.status = 'completed'"
)

QUERIES: Mapping[str, str] = {
    "I2 history has a gap": (
        "select i.id from orchestrator.instances i left join (select instance_id, count(*) n,"
        " max(sequence) last from orchestrator.history group by 1) h on h.instance_id = i.id"
        " where coalesce(h.n, 0) <> i.sequence or coalesce(h.last, 0) <> i.sequence"
    ),
    "I2 a step succeeded twice": (
        "select instance_id, step from orchestrator.attempts where state = 'succeeded'"
        " group by 1, 2 having count(*) > 1"
    ),
    "I2 an attempt's end is half told": (
        "select id, state from orchestrator.attempts"
        f" where (state in {_LIVE}) <> (ended_at is null)"
    ),
    "I3 an end by nobody": (
        "select id, state from orchestrator.attempts"
        " where state in ('succeeded', 'failed') and (token is null or claimed_at is null)"
    ),
    "I3 completed, and no attempt succeeded": (
        "select s.instance_id, s.id from orchestrator.steps s where s.status = 'completed'"
        " and exists (select from orchestrator.attempts a"
        "  where a.instance_id = s.instance_id and a.step = s.id)"
        " and not exists (select from orchestrator.attempts a"
        "  where a.instance_id = s.instance_id and a.step = s.id and a.state = 'succeeded')"
    ),
    "I4 more starts than the limit": (
        "select instance_id, step, count(*) from orchestrator.attempts"
        " where state = 'lost' and claimed_at is not null group by 1, 2 having count(*) > 3"
    ),
    "I4 given up without a dead letter": (
        f"{_LAST} select s.instance_id, s.id from orchestrator.instances i"
        " join orchestrator.steps s on s.instance_id = i.id"
        "  and s.id = (i.state ->> 'failed')::int"
        " join last a on a.instance_id = s.instance_id and a.step = s.id"
        " where i.status = 'faulted' and a.state = 'lost' and not a.withdrawn and s.outcome_unknown"
        " and not exists (select from orchestrator.dead_letters d"
        "  where d.instance_id = s.instance_id and d.step = s.id and d.reason = 'lost')"
    ),
    "I4 a dead letter of what was not given up": (
        f"{_LAST} select d.instance_id, d.step from orchestrator.dead_letters d"
        " join orchestrator.steps s on s.instance_id = d.instance_id and s.id = d.step"
        " left join last a on a.instance_id = d.instance_id and a.step = d.step"
        " where d.reason = 'lost' and (s.status <> 'faulted' or a.state is distinct from 'lost')"
    ),
    "I4 several dead letters of one step": (
        "select instance_id, step from orchestrator.dead_letters where reason = 'lost'"
        " group by 1, 2 having count(*) > 1"
    ),
    "I5 an orphan": (
        f"select i.id, i.status from orchestrator.instances i where i.status in {OPEN}"
        " and i.status <> 'suspended'"
        " and not exists (select from orchestrator.stimuli q where q.instance_id = i.id)"
        " and not exists (select from orchestrator.attempts a where a.instance_id = i.id"
        f"  and a.state in {_LIVE})"
        " and not exists (select from orchestrator.timers t where t.instance_id = i.id)"
        " and not exists (select from orchestrator.listeners l where l.instance_id = i.id)"
        " and not exists (select from orchestrator.instances c where c.parent_instance = i.id"
        f"  and (c.status in {OPEN} or c.compensation = 'running'))"
    ),
    "I5 something is left of an instance that has ended": (
        f"select i.id from orchestrator.instances i where i.status not in {OPEN}"
        " and i.compensation <> 'running' and i.open_places = 0 and ("
        "  exists (select from orchestrator.attempts a where a.instance_id = i.id"
        f"   and a.state in {_LIVE})"
        "  or exists (select from orchestrator.timers t where t.instance_id = i.id)"
        "  or exists (select from orchestrator.listeners l where l.instance_id = i.id)"
        f"  or exists (select from orchestrator.steps s where s.instance_id = i.id"
        f"   and s.status in {OPEN}))"
    ),
    "I8 a step was undone twice": (
        "select instance_id, compensates from orchestrator.steps where compensates is not null"
        " group by 1, 2 having count(*) > 1"
    ),
    "I8 what did not complete was undone": (
        "select u.instance_id, u.id from orchestrator.steps u join orchestrator.steps s"
        " on s.instance_id = u.instance_id and s.id = u.compensates"
        " where s.status <> 'completed' and not s.outcome_unknown"
    ),
    "I8 undone out of order": (
        "select u.instance_id, u.id from (select u.instance_id, u.id, s.completion_number,"
        "  lag(s.completion_number) over (partition by u.instance_id order by u.id) before"
        "  from orchestrator.steps u join orchestrator.steps s"
        "  on s.instance_id = u.instance_id and s.id = u.compensates where u.parent = 0) u"
        " where u.before < u.completion_number"
    ),
    "I8 neither undone nor a dead letter": (
        "select u.instance_id, u.id from orchestrator.steps u where u.compensates is not null"
        " and u.status not in ('completed', 'pending', 'running', 'waiting', 'suspended')"
        " and not exists (select from orchestrator.dead_letters d"
        "  where d.instance_id = u.instance_id and d.step = u.id)"
    ),
    "I9 a pause ended early": (
        "select s.instance_id, s.id, s.ended_at - s.started_at from orchestrator.steps s"
        " join orchestrator.instances i on i.id = s.instance_id"
        " join orchestrator.workflows w on w.id = i.workflow_id"
        " where s.kind = 'wait' and s.status = 'completed' and s.ended_at < s.started_at"
        " + coalesce(substring(w.name from '^pause-([0-9]+)$')::int, 0) * interval '1 ms'"
    ),
    "I9 a pause ended twice": (
        "select instance_id, stimulus ->> 'step' from orchestrator.history"
        " where stimulus ->> 'kind' = 'timer' and stimulus #>> '{data,kind}' = 'wait'"
        " group by 1, 2 having count(*) > 1"
    ),
    "I10 an event counted twice for a listener": (
        "select instance_id, stimulus ->> 'step', stimulus #>> '{data,event,source}',"
        " stimulus #>> '{data,event,id}' from orchestrator.history"
        " where stimulus ->> 'kind' = 'event' group by 1, 2, 3, 4 having count(*) > 1"
    ),
    "I10 a listener went on without its event, or with more": (
        f"select i.id {_OF_CHAOS} and w.name in ('signalled', 'talk')"
        " and (select count(*) from orchestrator.history h where h.instance_id = i.id"
        "  and h.stimulus ->> 'kind' = 'event') <> 1"
    ),
    "I10 an event was heard by a younger instance": (
        "select m.event, m.instance_id from orchestrator.event_offers m"
        " join orchestrator.events e on e.receipt_number = m.event and e.target_instance is null"
        " join orchestrator.instances i on i.id = m.instance_id"
        " where m.step > 0 and e.receipt_number <= i.heard_from"
    ),
    "I10 an event was not emitted, or twice": (
        "with told as (select instance_id, count(*) n from orchestrator.events"
        " where type = 'chaos.told' group by 1)"
        f" select i.id {_OF_CHAOS} and w.name = 'talk' and not exists"
        "  (select from told t where t.instance_id = i.id and t.n = 1)"
    ),
    "I13 an end was not the end": (
        "select i.id from orchestrator.instances i join orchestrator.history h"
        " on h.instance_id = i.id, json_array_elements(h.facts) f"
        " where f ->> 0 in ('workflow.completed', 'workflow.faulted', 'workflow.cancelled')"
        " group by i.id, i.run having count(*) > i.run"
    ),
    "I14 started after the end": (
        f"{_UNDOING} select a.id from orchestrator.attempts a join orchestrator.instances i"
        " on i.id = a.instance_id where i.run = 1"
        " and a.claimed_at > i.ended_at + interval '10 s' and not exists (select from undoing u"
        "  where u.instance_id = a.instance_id and u.id = a.step)"
    ),
    "rows that belong to nothing": (
        "select a.id::text from orchestrator.attempts a left join orchestrator.steps s"
        " on s.instance_id = a.instance_id and s.id = a.step where s.id is null union all"
        " select s.instance_id || ':' || s.id from orchestrator.steps s"
        " left join orchestrator.instances i on i.id = s.instance_id where i.id is null union all"
        " select q.instance_id::text from orchestrator.stimuli q"
        " left join orchestrator.instances i on i.id = q.instance_id where i.id is null"
    ),
}

#: What is asked besides, of what clients were told and of the ledger.
BESIDES = (
    "I1 acknowledged and not there",
    "I1 started twice",
    "I7 one attempt ran twice",
    "I7 ran without a claim",
    "I7 succeeded and never ran",
    "I7 ran outside of a step",
)


class Reader(Protocol):
    """Returns the rows of a statement."""

    def __call__(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """The rows."""


def problems(
    sql: Reader, told: Sequence[str] = (), ledger: Iterable[Mapping[str, Any]] = ()
) -> dict[str, list[tuple[Any, ...]]]:
    """Return the violations: the name of each query that has rows, with its first five."""
    found = {name: sql(query) for name, query in QUERIES.items()}
    found["I1 acknowledged and not there"] = sql(
        "select t.id from unnest(%s::uuid[]) t(id) left join orchestrator.instances i"
        " on i.id = t.id where i.id is null",
        list(told),
    )
    if told:
        found["I1 started twice"] = sql(
            "select id::text from orchestrator.instances where parent_instance is null"
            " and id <> all(%s::uuid[])",
            list(told),
        )
    found.update(_of_effects(sql, list(ledger)))
    return {name: rows[:5] for name, rows in found.items() if rows}


def _of_effects(sql: Reader, ledger: list[Mapping[str, Any]]) -> dict[str, list[tuple[Any, ...]]]:
    runs = Counter(str(line["attempt"]) for line in ledger)
    twice = [(attempt, count) for attempt, count in runs.items() if count > 1]
    unclaimed = sql(
        "select l.id from unnest(%s::uuid[]) l(id) left join orchestrator.attempts a"
        " on a.id = l.id where a.claimed_at is null",
        [attempt for attempt in runs if attempt != "None"],
    )
    succeeded = sql("select id::text from orchestrator.attempts where state = 'succeeded'")
    idle = [row for row in succeeded if runs and row[0] not in runs]
    return {
        "I7 one attempt ran twice": twice,
        "I7 ran without a claim": unclaimed,
        "I7 succeeded and never ran": idle,
        "I7 ran outside of a step": [(runs["None"],)] if runs["None"] else [],
    }


def effects(file: Path) -> list[dict[str, Any]]:
    """Return the ledger. The last line of a killed process may be incomplete."""
    lines = file.read_bytes().split(b"\n") if file.exists() else []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
