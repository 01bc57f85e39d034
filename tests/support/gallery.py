"""Instances in every state, for pictures of the console: what a shop of some weeks looks like."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

Document = dict[str, Any]
Task = dict[str, Any]

TIMEOUT = "https://serverlessworkflow.io/spec/1.0.0/errors/timeout"
COMMUNICATION = "https://serverlessworkflow.io/spec/1.0.0/errors/communication"


def _document(at: str, title: str, *tasks: Task, version: str = "1.0.0", **more: Any) -> Document:
    namespace, name = at.split("/")
    head = {"dsl": "1.0.3", "namespace": namespace, "name": name, "version": version}
    return {"document": {**head, "title": title}, **more, "do": list(tasks)}


def _call(task: str, arguments: dict[str, Any], undo: Task | None = None, **metadata: Any) -> Task:
    members = {**metadata, **({"compensate": undo} if undo else {})}
    return {"call": task, "with": arguments, **({"metadata": members} if members else {})}


ID = "${ $workflow.input.id }"
CARD = "${ $workflow.input.card }"
RELEASE = _call("shop.release_stock", {"order": ID, "reservation": "${ $output.reservation }"})
REFUND = _call("shop.refund", {"charge": "${ $output.charge }"})
REFUSED = _call("shop.refund", {"charge": "${ $output.charge }", "fails": True})


def _charge(amount: Any, undo: Task | None = REFUND) -> Task:
    return _call("shop.charge", {"order": ID, "card": CARD, "amount": amount}, undo)


def _retried(task: Task, count: int, delay: dict[str, Any]) -> Task:
    return {
        "try": [{"charge": task}],
        "catch": {
            "errors": {"with": {"type": COMMUNICATION}},
            "retry": {
                "delay": delay,
                "backoff": {"exponential": {}},
                "limit": {"attempt": {"count": count}},
            },
        },
    }


RESERVE = _call("shop.reserve_stock", {"order": ID, "item": "lamp", "quantity": 2}, RELEASE)
ORDER_INPUT = {
    "schema": {
        "document": {
            "type": "object",
            "required": ["id", "card"],
            "properties": {
                "id": {"type": "string", "title": "Order"},
                "card": {"type": "string", "enum": ["visa", "nearly-empty", "busy-bank", "cursed"]},
                "total": {"type": "integer", "minimum": 1, "default": 10000},
            },
        }
    }
}


def _order(version: str, *last: Task) -> Document:
    return _document(
        "shop/order",
        "Take an order",
        {"reserveStock": RESERVE},
        {"splitPrice": {"set": {"deposit": 2000, "balance": 8000}, "export": {"as": "."}}},
        {"chargeDeposit": _charge("${ $context.deposit }")},
        {"chargeBalance": _charge("${ $context.balance }")},
        *last,
        {"accept": {"set": {"order": ID, "accepted": True}}},
        version=version,
        input=ORDER_INPUT,
    )


APPROVAL = {"listen": {"to": {"one": {"with": {"type": "shop.approved"}}}}}
APPROVAL["timeout"] = {"after": {"days": 1}}  # type: ignore[dict-item]

BIG_ORDER = _document(
    "shop/big-order",
    "Take an order that somebody approves",
    {"check": _call("shop.check_order", {"order": ID, "total": "${ $workflow.input.total }"})},
    {
        "prepare": {
            "fork": {
                "branches": [
                    {"reserve": RESERVE},
                    {"creditCheck": _call("shop.check_order", {"order": ID})},
                ]
            }
        }
    },
    {
        "size": {
            "switch": [
                {"big": {"when": "${ $workflow.input.total > 50000 }", "then": "approval"}},
                {"small": {"then": "pay"}},
            ]
        }
    },
    {"approval": APPROVAL},
    {"pay": _retried(_charge(2500), 5, {"minutes": 3})},
    {
        "ship": {
            "run": {
                "workflow": {
                    "namespace": "shop",
                    "name": "ship",
                    "version": "1.2.0",
                    "input": {
                        "id": ID,
                        "pack": "${ $workflow.input.pack // 0 }",
                        "collect": "${ $workflow.input.collect // false }",
                    },
                }
            }
        }
    },
    {"thank": _call("shop.mail", {"to": "ada@example.com", "template": "thanks"}, display="quiet")},
    version="2.0.0",
)
SHIP = _document(
    "shop/ship",
    "Pack and hand over",
    {"pack": _call("shop.pack", {"order": ID, "seconds": "${ $workflow.input.pack }"})},
    {"later": {"switch": [{"yes": {"when": "${ $workflow.input.collect }", "then": "collect"}},
                          {"no": {"then": "handOver"}}]}},
    {"collect": {"wait": {"hours": 4}}},
    {"handOver": _call("shop.mail", {"to": "carrier@example.com", "template": "pickup"})},
    version="1.2.0",
)  # fmt: skip
PAYOUT = _document(
    "billing/payout",
    "Pay a seller",
    {"transfer": _charge(2000, REFUSED)},
    {"book": _charge(9000, None)},
    version="2.1.0",
)
INVOICE = _document(
    "billing/invoice",
    "Bill a customer",
    {"render": _call("shop.check_order", {"order": ID})},
    {"charge": _charge(9000, None)},
    {"send": _call("shop.mail", {"to": "ada@example.com", "template": "invoice"})},
    version="1.4.0",
)
THUMBNAILS = _document(
    "reports/thumbnails",
    "Make previews",
    {"thumb": _call("shop.pack", {"order": ID}, queue="gpu")},
)
IMPORT = _document(
    "reports/import",
    "Import a file, row by row",
    {
        "rows": {
            "for": {"each": "row", "in": "${ [range(1; 201)] }"},
            "do": [{"importRow": _call("reports.row", {"number": "${ $row }"})}],
        }
    },
    {"report": _call("shop.mail", {"to": "ops@example.com", "template": "imported"})},
)
DIGEST = _document(
    "reports/digest",
    "Mail the numbers of the day",
    {"mail": _call("shop.mail", {"to": "ops@example.com", "template": "digest"})},
    schedule={"cron": "0 6 * * *"},
)
HEALTH = _document(
    "reports/probe",
    "Look whether the bank answers",
    {"look": _call("shop.check_order", {"order": "probe"})},
    schedule={"every": {"minutes": 15}},
)
TALKED = {"notify": _call("shop.mail", {"to": "ada@example.com", "template": "accepted"})}
DOCUMENTS = (
    *(_order("1.0.0"), _order("1.1.0", TALKED), SHIP, BIG_ORDER, PAYOUT, INVOICE),
    *(THUMBNAILS, IMPORT, DIGEST, HEALTH),
)


class Gallery:
    """Deploys the workflows and brings instances into their states; `client` speaks to the API."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.ids: dict[str, str] = {}

    def post(self, path: str, body: Any, **options: Any) -> Any:
        answer = self.client.post(path, json=body, **options)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def instance(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/v1/instances/{self.ids[name]}").json()
        return found

    def found(self, name: str, step: str | None) -> str:
        """The id of an instance, or of its first step of a name."""
        if step is None:
            return self.ids[name]
        steps = self.client.get(f"/v1/instances/{self.ids[name]}/steps").json()["items"]
        return next(str(each["id"]) for each in steps if each["name"] == step)

    def start(self, at: str, name: str, labels: dict[str, str] | None = None, **given: Any) -> None:
        """Start an instance; `name` becomes its business id and its order's id."""
        namespace, workflow = at.split("/")
        body = {
            "workflow": {"namespace": namespace, "name": workflow},
            "business_id": name,
            "labels": labels or {},
            "input": {"id": name, "card": "visa", "total": 10_000, **given},
        }
        self.ids[name] = self.post("/v1/instances", body)["id"]

    def until(self, name: str, fact: Callable[[dict[str, Any]], bool], seconds: float = 90) -> None:
        """Wait for a fact that only looking can tell."""
        deadline = time.monotonic() + seconds
        while not fact(found := self.instance(name)):
            assert time.monotonic() < deadline, f"{name}: {found}"
            time.sleep(0.1)

    def becomes(self, name: str, status: str, compensation: str = "none") -> None:
        self.until(
            name, lambda found: (found["status"], found["compensation"]) == (status, compensation)
        )

    def fill(self) -> None:
        """Make the shop's instances, and wait until each stands where it will stay."""
        for document in DOCUMENTS:
            self.post("/v1/workflows", document)
        self._ended()
        self._open()
        self._acted_upon()

    def _ended(self) -> None:
        eu, us = {"customer": "globex", "region": "eu"}, {"customer": "acme", "region": "us"}
        self.start("shop/order", "o-1", eu, card="cursed")
        self.becomes("o-1", "faulted", "completed")
        for number in range(1040, 1052):
            self.start("shop/order", f"o-{number}", eu if number % 2 else us)
        self.start("shop/order", "o-1052", us, card="nearly-empty")
        self.start("billing/payout", "p-7", card="nearly-empty")
        self.start("billing/invoice", "inv-900", us, card="nearly-empty")
        self.start("billing/invoice", "inv-901", us)
        self.start("reports/import", "may-2026.csv", {"team": "data"})
        self.becomes("o-1052", "faulted", "completed")
        self.becomes("p-7", "faulted", "failed")
        self.becomes("inv-900", "faulted")
        self.becomes("may-2026.csv", "completed")

    def _open(self) -> None:
        acme = {"customer": "acme", "region": "apac"}
        self.start("shop/big-order", "o-1578", acme, card="busy-bank")
        self.start("shop/big-order", "o-1590", acme, total=90_000)
        self.start("shop/big-order", "o-1631", acme, total=75_000)
        self.start("shop/big-order", "o-1632", {"customer": "globex"}, total=120_000)
        self.start("shop/big-order", "basket-77", pack=100_000)
        self.start("shop/big-order", "o-1640", acme, collect=True)
        self.start("reports/thumbnails", "thumbs-11")
        for name in ("o-1578", "o-1590", "o-1631", "o-1632"):
            self.becomes(name, "waiting")
        self.until(
            "thumbs-11", lambda found: bool(found["why"]) and found["why"]["tone"] == "alarm"
        )

    def _acted_upon(self) -> None:
        reason = {"reason": "the customer asked to wait until Monday"}
        self.post(f"/v1/instances/{self.ids['o-1590']}/suspend", reason)
        self.start("shop/big-order", "o-1599", {"customer": "globex"}, total=60_000)
        self.becomes("o-1599", "waiting")
        self.post(f"/v1/instances/{self.ids['o-1599']}/cancel", {"reason": "not wanted any more"})
        self.becomes("o-1599", "cancelled", "completed")
