"""Each pair of hot statements, two sessions at one row: what is claimed, published, noted.

The pairs of whole transitions are in `test_interleavings_of_transitions`; timers and events have
theirs beside their own tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import pytest

from orchestrator import ids
from orchestrator.core.model import Attempt, StimulusKind
from orchestrator.database.access import api_key_queries
from orchestrator.database.connection.database import LOCKING, UNBOUNDED, Database, Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.transitions import inbox_queries
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.save_request import SiblingClaim
from orchestrator.database.workers import unclaimed_attempts as attempts
from orchestrator.database.workers import worker_queries
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt
from tests.support import transitions
from tests.support.row_lock_races import Racers, first, racing, shut, stop_at, without
from tests.support.transitions import WORKER, an_hour_ago, an_instance, claimed, ready

T = TypeVar("T")

#: The task and queue of the attempts here.
TASK, QUEUE = "shop.reserve", "celery"
#: As old as a message must be to count as lost, in s.
PATIENCE = 60


@pytest.fixture
def racers(database: Database) -> Iterator[Racers]:
    with racing(database) as racers:
        yield racers


@pytest.fixture
def instance(database: Database) -> str:
    return an_instance(database)


def take_next(reader: Session, instance: str, token: str) -> Snapshot | None:
    return transitions.take_next(reader, instance, SiblingClaim(TASK, QUEUE, WORKER, 2, token))


def passing_by(database: Database, act: Callable[[Transaction], T]) -> T:
    """What must not wait for others, done beside them: a wait would be an error."""
    with database.transaction(LOCKING) as second:
        return act(second)


def id_of(snapshot: Snapshot | None) -> str | None:
    return snapshot.slice.attempt.id if snapshot and snapshot.slice.attempt else None


def held(database: Database) -> dict[str, str]:
    """Which token holds each claimed attempt."""
    sql = "select id::text, token from orchestrator.attempts where state = 'claimed'"
    return {row[0]: row[1] for row in database.all(sql)}


# Claims


@pytest.mark.parametrize(
    ("token", "undone", "holds"),
    [("b.0", False, "a.0"), ("a.0", False, "a.0"), ("b.0", True, "b.0")],
    ids=["another's", "asked again before the first answer", "after one that came to nothing"],
)
def test_of_two_claims_of_one_attempt_one_has_it(database, racers, instance, token, undone, holds):
    (attempt,) = ready(database, instance, 1)
    with first(database, undone=undone) as session:
        assert id_of(claimed(session, instance, attempt, "a.0")) == attempt.id
        second = racers.start(claimed, database, instance, attempt, token)
    assert id_of(second.result()) == (attempt.id if holds == token else None)
    assert held(database) == {attempt.id: holds}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("by_message", [True, False])
def test_whoever_takes_the_next_attempt_takes_none_that_is_being_claimed(
    database, instance, by_message, count
):
    made = ready(database, instance, count)
    with first(database) as session:
        if by_message:
            mine = claimed(session, instance, made[-1], "a.0")
        else:
            mine = take_next(session, instance, "a.0")
        other = passing_by(database, lambda second: id_of(take_next(second, instance, "b.0")))
    left = [one.id for one in made if one.id != id_of(mine)]
    assert other == (left[0] if left else None)
    assert held(database) == {str(id_of(mine)): "a.0"} | dict.fromkeys(left, "b.0")


def test_a_message_of_an_attempt_that_is_being_taken_as_the_next_is_refused(
    database, racers, instance
):
    (attempt,) = ready(database, instance, 1)
    with first(database) as session:
        assert id_of(take_next(session, instance, "a.0")) == attempt.id
        second = racers.start(claimed, database, instance, attempt, "b.0")
    assert second.result() is None
    assert held(database) == {attempt.id: "a.0"}


@pytest.mark.parametrize(
    ("function", "guard"),
    [
        ("claim_attempt", "and state = 'ready' and not withdrawn"),
        ("claim_sibling", "for update skip locked"),
    ],
)
def test_without_its_guard_a_claim_is_lost_to_the_second(
    database, racers, instance, function, guard
):
    """That these races are races: the guard gone, both have the one attempt."""
    (attempt,) = ready(database, instance, 1)

    def take(reader: Session, token: str) -> Snapshot | None:
        if function == "claim_attempt":
            return claimed(reader, instance, attempt, token)
        return take_next(reader, instance, token)

    with without(database, function, guard):
        with first(database) as session:
            mine = take(session, "a.0")
            second = racers.start(take, database, "b.0")
        assert id_of(mine) == id_of(second.result()) == attempt.id


# Keys


@pytest.mark.parametrize("undone", [False, True], ids=["committed", "come to nothing"])
def test_of_two_keys_made_at_once_for_one_place_one_is_made(database, racers, undone):
    def key(name: str = "ci") -> api_key_queries.KeyRow:
        id = ids.new_id()
        return api_key_queries.KeyRow(id, id, b"x", name, "viewer", ("shop", "bank"), None)

    def make(session: Transaction, row: api_key_queries.KeyRow) -> bool:
        room = api_key_queries.count_live(session, row) < api_key_queries.MOST_LIVE
        if room:
            api_key_queries.put(session, row)
        return room

    def made(row: api_key_queries.KeyRow) -> bool:
        with database.transaction(UNBOUNDED) as session:
            return make(session, row)

    assert made(key())
    with first(database, undone=undone) as session:
        assert make(session, key())
        assert passing_by(database, lambda other: make(other, key("another's")))
        second = racers.start(made, key())
    assert second.result() is undone
    assert database.one("select count(*) from orchestrator.api_keys where name = 'ci'") == (2,)


# Messages


def publish_count(database: Database) -> list[tuple[Any, ...]]:
    return database.all("select state, publish_count from orchestrator.attempts order by id")


def lost_messages(database: Database, instance: str, count: int) -> list[Attempt]:
    """The attempts of a quiet queue that has a free worker: their messages count as lost."""
    made = ready(database, instance, count)
    an_hour_ago(database, "published_at")
    row = worker_queries.WorkerRow(WORKER, "w@host", 1, "prefork", 2, [QUEUE], [TASK])
    worker_queries.register(database, row)
    return made


def ids_of(attempts: Iterable[Attempt | PublishableAttempt]) -> set[str]:
    return {one.id for one in attempts}


def again(reader: Session, limit: int = 500) -> set[str]:
    return ids_of(attempts.claim_lost_messages(reader, PATIENCE, limit))


def test_an_attempt_that_is_being_published_again_can_be_claimed(database, racers, instance):
    (attempt,) = lost_messages(database, instance, 1)
    with first(database) as beat:
        assert again(beat) == {attempt.id}
        claiming = racers.start(claimed, database, instance, attempt, "a.0")
    assert id_of(claiming.result()) == attempt.id
    assert publish_count(database) == [("claimed", 2)]


def test_an_attempt_that_is_being_claimed_is_not_published_again(database, instance):
    (attempt,) = lost_messages(database, instance, 1)
    with first(database) as worker:
        assert id_of(claimed(worker, instance, attempt, "a.0")) == attempt.id
        assert passing_by(database, again) == set()
    assert publish_count(database) == [("claimed", 1)]


def test_two_beats_that_publish_again_at_once_share_the_attempts(database, instance):
    lost = lost_messages(database, instance, 3)
    with first(database) as beat:
        mine = again(beat, limit=3)
        assert passing_by(database, again) == set()
    assert mine == ids_of(lost)
    assert publish_count(database) == [("ready", 2)] * 3


def test_a_beat_that_looked_before_another_published_again_does_not_so_too(
    database, racers, instance
):
    """It comes to the rows once the other has committed, and nobody holds them any more."""
    lost = lost_messages(database, instance, 2)
    stop_at(database, "workers")
    with first(database) as beat:
        shut(beat)
        late = racers.start(again, database)
        assert again(beat) == ids_of(lost)
    assert late.result() == set()
    assert publish_count(database) == [("ready", 2)] * 2


def unpublished(database: Database, instance: str, count: int) -> set[str]:
    made = ready(database, instance, count)
    database.all("update orchestrator.attempts set published_at = null, publish_count = 0")
    return ids_of(made)


def top_up(reader: Session, instance: str) -> set[str]:
    return ids_of(attempts.claim_next_wave(reader, instance, QUEUE, 2))


def test_two_who_publish_more_of_one_instance_publish_each_attempt_once(database, instance):
    made = unpublished(database, instance, 3)
    with first(database) as session:
        mine = top_up(session, instance)
        others = passing_by(database, lambda second: top_up(second, instance))
    assert (len(mine), len(others)) == (2, 1)
    assert mine | others == made
    assert publish_count(database) == [("ready", 1)] * 3


def test_what_is_being_taken_as_the_next_is_not_published(database, instance):
    made = unpublished(database, instance, 2)
    with first(database) as session:
        mine = id_of(take_next(session, instance, "a.0"))
        others = passing_by(database, lambda second: top_up(second, instance))
    assert others == made - {mine}
    assert sorted(publish_count(database)) == [("claimed", 0), ("ready", 1)]


# Notes


@pytest.mark.parametrize("undone", [False, True])
def test_of_two_notes_with_one_key_there_is_one(database, racers, undone):
    """As two beats leave them that find the same loss."""
    instance = ids.new_id()

    def put(reader: Session, of: str) -> None:
        inbox_queries.put(reader, instance, StimulusKind.RESULT, data={"of": of}, key="lost:1")

    with first(database, undone=undone) as session:
        put(session, "a")
        second = racers.start(put, database, "b")
    second.result()
    notes = database.all("select data ->> 'of' from orchestrator.stimuli")
    assert notes == [("b" if undone else "a",)]
