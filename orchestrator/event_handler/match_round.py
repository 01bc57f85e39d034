"""What the steps of one matching round share."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.database.connection.database import Transaction
from orchestrator.event_handler.filter_evaluator import FilterEvaluator
from orchestrator.event_handler.match_batch import MatchBatch


@dataclass(frozen=True, slots=True)
class MatchRound:
    """One matching round of a namespace, in one transaction.

    `look_back` is the look-back of listeners without their own, in seconds.
    """

    transaction: Transaction
    namespace: str
    evaluator: FilterEvaluator
    batch: MatchBatch
    look_back: float
