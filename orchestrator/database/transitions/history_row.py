"""The row of history for a transition: its stimulus, the other data of the decision, and its
facts."""

from __future__ import annotations

from orchestrator.core.attempt_end_json import end_to_json
from orchestrator.core.model import (
    Attempt,
    AttemptState,
    Json,
    Slice,
    Stimulus,
    Transition,
)


def stimulus_record(stimulus: Stimulus, slice: Slice, transition: Transition) -> dict[str, Json]:
    """Return the stimulus as history stores it, with the data of the decision that does not follow
    from earlier rows: enough to replay the transition (invariant I12).

    ``claimed``: the attempts that were claimed when open steps were stopped or paused.
    ``workflows``: the versions found for sub-workflows. ``tree_full``: the tree of instances could
    start no other. ``items``: the largest number of agenda items of the transition, where that was
    bounded or its agenda was ended.
    """
    record: dict[str, Json] = {"kind": stimulus.kind.value}
    if stimulus.step is not None:
        record["step"] = stimulus.step
    if stimulus.data:
        record["data"] = dict(stimulus.data)
    items = stimulus.items if transition.items is None else transition.items
    if items is not None:
        record["items"] = items
    if stimulus.is_undecidable:
        record["undecidable"] = True
    if stimulus.ended:
        record.update(end_to_json(stimulus.ended))
    for need, answer in slice.loaded.items():
        if need.what == "open":
            record["claimed"] = [one.id for _, one in answer if _is_claimed(one)]
        elif need.what == "workflow":
            record.setdefault("workflows", {})["/".join(need.args)] = answer
        elif need.what == "tree" and not answer:
            record["tree_full"] = True
    return record


def _is_claimed(attempt: Attempt | None) -> bool:
    return attempt is not None and attempt.state is AttemptState.CLAIMED


def fact_records(transition: Transition) -> list[Json]:
    """Return the facts of a transition as JSON: ``[type, step, data?]`` each."""
    return [
        [fact.type, fact.step, fact.data] if fact.data is not None else [fact.type, fact.step]
        for fact in transition.facts
    ]
