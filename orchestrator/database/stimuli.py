"""The inbox of instances: notes put in, and instances found whose notes nobody brought."""

from __future__ import annotations

from orchestrator.codec import dumps
from orchestrator.core.values import Json, StimulusKind
from orchestrator.database.slices import Reader


def put(
    reader: Reader,
    instance: str,
    kind: StimulusKind,
    *,
    step: int | None = None,
    attempt: str | None = None,
    data: Json = None,
    key: str | None = None,
) -> None:
    """Leave a durable note to an instance; a second one with the same key is the first."""
    reader.all(
        "insert into orchestrator.stimuli (instance_id, kind, step, attempt, data, key)"
        " values (%s, %s, %s, %s, %s, %s)"
        " on conflict (instance_id, key) where key is not null do nothing",
        (instance, kind.value, step, attempt, None if data is None else dumps(data), key),
    )


def forget(reader: Reader, stimulus: int) -> None:
    """Remove a note that turned out to change nothing."""
    reader.all("delete from orchestrator.stimuli where id = %s", (stimulus,))


def overdue(reader: Reader, seconds: float, limit: int = 500) -> list[str]:
    """Instances with a note that has waited so long that its bringer, or the hint, must be
    gone. Each is returned once in that time, however many beats ask.

    A suspended instance's notes wait for its resumption, so they are nobody's to bring.
    """
    rows = reader.all(
        "with late as (select q.id from orchestrator.stimuli q"
        " join orchestrator.instances i on i.id = q.instance_id"
        " where coalesce(q.hinted_at, q.created_at) < clock_timestamp() - %s * interval '1 s'"
        " and (i.status <> 'suspended' or q.kind in ('command', 'result'))"
        " order by q.id limit %s for update of q skip locked)"
        " update orchestrator.stimuli q set hinted_at = clock_timestamp() from late"
        " where q.id = late.id returning q.instance_id::text",
        (seconds, limit),
    )
    return list(dict.fromkeys(row[0] for row in rows))
