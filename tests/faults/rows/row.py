"""What a row of the matrix is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from orchestrator.embedded import Postgres
from tests.faults.documents import MIXED, Load
from tests.faults.fault_stack import BATCH, Ground

if TYPE_CHECKING:
    from tests.faults.fault_run import Outcome

#: How often it struck; None: once.
Strike = Callable[[Ground, Random], int | None]


def _nothing(_: Ground) -> None:
    """A row that needs no preparation."""


def _no_more(_: Ground, __: Outcome) -> Mapping[str, Any]:
    """A row that is judged as all are."""
    return {}


def _present() -> str | None:
    """A row that can run anywhere."""
    return None


@dataclass(frozen=True)
class Row:
    """One fault. `workflows` and `strikes` are the figures of a full run; `pauses` are the
    seconds between two strikes."""

    name: str
    strike: Strike
    workflows: int
    strikes: int
    pauses: tuple[float, float]
    #: How the product is set up: arguments of `Ground`, and settings.
    ground: Mapping[str, Any] = field(default_factory=dict)
    #: What runs meanwhile: documents, with their ends. Empty: the strike starts what runs.
    load: Sequence[Load] = MIXED
    #: So many instances may be open before more are started.
    backlog: int = 200
    #: Workflows that are started with one keyed request.
    batch: int = BATCH
    #: Something must have ended between two strikes, or a long time have passed.
    paced: bool = False
    #: Stale results must have been refused.
    stale: bool = False
    #: In s, of a step whose process was killed, till it runs again.
    recovery: float | None = None
    #: Of the time of a run, beside others.
    weight: float = 1.0
    #: Runs only when all do, and then for so long, in s; None: always, for its share of the time.
    whole: float | None = None
    #: Before the first workflow.
    prepare: Callable[[Ground], None] = _nothing
    #: What is wrong besides what is asked of every row.
    judge: Callable[[Ground, Outcome], Mapping[str, Any]] = _no_more
    #: Whether its judge has seen enough; the load goes on until then, as long as a row may take.
    enough: Callable[[Ground], bool] | None = None
    #: Why it can't run here.
    absent: Callable[[], str | None] = _present
    #: Its broker is RabbitMQ.
    rabbitmq: bool = False
    #: A server of its own, in this folder.
    postgres: Callable[[Path], AbstractContextManager[Postgres]] | None = None

    @property
    def continues(self) -> bool:
        """Whether its workers may go on with what they made ready."""
        return bool(self.ground.get("continuation_budget", True))


def without_continuation(row: Row) -> Row:
    """The same, with workers that take every step from the broker."""
    ground = {**row.ground, "continuation_budget": 0}
    return replace(row, name=f"{row.name}; no continuation", ground=ground, weight=1.0)
