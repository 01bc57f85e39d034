"""The input of a save."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.core.model import Attempt, Instance, Slice, Stimulus, Transition


@dataclass(frozen=True, slots=True)
class Fence:
    """The attempt that is being ended, and the token it was claimed with."""

    attempt: str
    token: str


@dataclass(frozen=True, slots=True)
class LocalClaim:
    """A new attempt that the saving process runs itself; it is created already claimed, under
    `token`."""

    attempt: str
    worker: str
    process: int
    token: str


@dataclass(frozen=True, slots=True)
class SiblingClaim:
    """Another ready attempt, of this task and queue, that the saving process claims with the
    save."""

    task: str
    queue: str
    worker: str
    process: int
    token: str


@dataclass(frozen=True, slots=True)
class SaveRequest:
    """A transition to save.

    `slice` is the base of its decision: the save compares the `sequence` of its instance.
    `queue_of` names the queue of an attempt whose document named none. `sibling` is set under the
    row lock only. `lease`: the token of the lease on the instance's decisions, which ends with the
    save.
    """

    slice: Slice
    stimulus: Stimulus
    transition: Transition
    queue_of: Callable[[Attempt], str]
    fence: Fence | None = None
    local_claim: LocalClaim | None = None
    sibling: SiblingClaim | None = None
    lease: str | None = None

    @property
    def instance_before(self) -> Instance:
        """The instance as it was read."""
        return self.slice.instance
