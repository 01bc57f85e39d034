"""What history keeps of a transition: its stimulus, what else it rested on, and its facts."""

from __future__ import annotations

from orchestrator.core.attempt_end import end_to_json
from orchestrator.core.model import (
    Attempt,
    AttemptState,
    Json,
    Slice,
    Stimulus,
    Transition,
)


def stimulus_record(stimulus: Stimulus, slice: Slice) -> dict[str, Json]:
    """The stimulus as history keeps it, with what else the decision rested on that does not
    follow from earlier rows: enough to replay the transition (invariant I12).

    ``claimed`` are the attempts that workers had in hand when open steps were stopped or
    paused; ``workflows`` the versions found for sub-workflows; ``items`` how many items of the
    agenda the transition was to work off, where that was bounded.
    """
    told: dict[str, Json] = {"kind": stimulus.kind.value}
    if stimulus.step is not None:
        told["step"] = stimulus.step
    if stimulus.data:
        told["data"] = dict(stimulus.data)
    if stimulus.items is not None:
        told["items"] = stimulus.items
    if stimulus.ended:
        told.update(end_to_json(stimulus.ended))
    for need, answer in slice.loaded.items():
        if need.what == "open":
            told["claimed"] = [one.id for _, one in answer if _is_claimed(one)]
        elif need.what == "workflow":
            told.setdefault("workflows", {})["/".join(need.args)] = answer
    return told


def _is_claimed(attempt: Attempt | None) -> bool:
    return attempt is not None and attempt.state is AttemptState.CLAIMED


def fact_records(transition: Transition) -> list[Json]:
    """The facts of a transition: ``[type, step, data?]`` each."""
    return [
        [fact.type, fact.step, fact.data] if fact.data is not None else [fact.type, fact.step]
        for fact in transition.facts
    ]
