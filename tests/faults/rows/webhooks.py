"""A webhook whose receiver refuses some of what it is sent, while those who send die."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tests.faults.documents import PART, PARTS, TELLER
from tests.faults.fault_stack import Ground
from tests.faults.rows import processes
from tests.faults.rows.row import Row
from tests.support.http_stub import Answer, Request, Stub

if TYPE_CHECKING:
    from tests.faults.fault_run import Outcome

#: One of so many messages is refused when it comes first.
REFUSED = 10
#: Everything is delivered within this after the last strike, in s: what a beat was sending when it
#: died is sent by another one after a minute, and may have others of its instance behind it.
DELIVERED = 240.0


class Receiver:
    """Takes messages, and refuses some the first time."""

    def __init__(self) -> None:
        #: Of each instance the parts that were taken, in the order of the first time.
        self.taken: dict[str, list[int]] = defaultdict(list)
        self.refused = self.repeated = 0
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        """503 or 200."""
        id, part = request.headers["webhook-id"], request.json["data"]
        with self._lock:
            first = id not in self._seen
            self._seen.add(id)
            if first and len(self._seen) % REFUSED == 0:
                self.refused += 1
                return Answer(503)
            taken = self.taken[part["by"]]
            if part["n"] in taken:
                self.repeated += 1
            else:
                taken.append(part["n"])
            return Answer(200)


def subscribe(ground: Ground) -> None:
    """A receiver, and a subscription to what the load emits."""
    receiver = ground.notes["receiver"] = Receiver()
    stub = ground.beside.enter_context(Stub(receiver))
    url = f"http://127.0.0.1:{stub.port}"
    body = {"namespace": "chaos", "filter": {"type": PART}, "webhook": {"url": url}}
    ground.subscribe(body)


def delivered(ground: Ground, outcome: Outcome) -> Mapping[str, Any]:
    """Each event of each instance arrived, those of one instance in their order."""
    receiver: Receiver = ground.notes["receiver"]
    began = time.monotonic()
    pending = "select count(*) from orchestrator.deliveries where state = 'pending'"
    unmatched = f"select count(*) from orchestrator.events e where {_UNTOLD}"
    while time.monotonic() < began + DELIVERED:
        if not ground.sql(pending)[0][0] and not ground.sql(unmatched)[0][0]:
            break
        time.sleep(0.5)  # between two looks
    left = ground.sql(pending)[0][0] + ground.sql(unmatched)[0][0]
    completed = [id for (id,) in ground.sql(_COMPLETED)]
    outcome.measured |= {
        "messages": sum(len(parts) for parts in receiver.taken.values()),
        "refused_first": receiver.refused,
        "repeated": receiver.repeated,
        "delivered_after_s": round(time.monotonic() - began, 1),
    }
    problems = judge(completed, receiver.taken, receiver.refused)
    return problems | ({"I11 neither delivered nor a dead letter": left} if left else {})


#: Those that no subscription was told of.
_UNTOLD = (
    f"e.type = '{PART}' and not exists (select from orchestrator.deliveries d"
    " where d.event = e.receipt_number)"
)
_COMPLETED = (
    "select i.id::text from orchestrator.instances i join orchestrator.workflows w"
    " on w.id = i.workflow_id and w.name = 'teller' where i.status = 'completed'"
)


def judge(
    completed: Sequence[str], taken: Mapping[str, Sequence[int]], refused: int
) -> dict[str, Any]:
    """What is wrong: an event that did not arrive, or before an earlier one of its instance."""
    wanted = list(range(PARTS))
    wrong = [(id, list(taken.get(id, ()))) for id in completed]
    missing = [one for one in wrong if sorted(one[1]) != wanted]
    disordered = [one for one in wrong if sorted(one[1]) == wanted and one[1] != wanted]
    problems: dict[str, Any] = {}
    if missing:
        problems["I11 events that did not arrive"] = [len(missing), *missing[:3]]
    if disordered:
        problems["I11 events out of order"] = [len(disordered), *disordered[:3]]
    if not refused:
        problems["no message was refused"] = 0
    return problems


ROWS = (
    Row(
        "a webhook's receiver refuses, beats are killed",
        processes.beat,
        1_000,
        20,
        (2.0, 4.0),
        {"beats": 2, "outbound_allow": "127.0.0.0/8"},
        load=((TELLER, ("completed", "none")),),
        backlog=60,
        prepare=subscribe,
        judge=delivered,
        paced=True,
        weight=1.5,
    ),
)
