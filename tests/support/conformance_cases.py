"""Other runtimes' cases, played through the product: deployed, started, fed, controlled."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from orchestrator.document import DocumentError, load
from tests.support import spec
from tests.support.conformance import Deployed, Product, Refused
from tests.support.conformance_stubs import Case, Servers
from tests.support.http_stub import Request

VALIDATION = "https://serverlessworkflow.io/spec/1.0.0/errors/validation"

#: How many instances a schedule starts at least, where it is not two.
_STARTS = {"ows-runtime-rust/schedule-on-one": 1}


@dataclass
class Outcome:
    """How a case ended; `status` is `invalid` where the document was refused."""

    status: str
    instance: dict[str, Any] = field(default_factory=dict)
    facts: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    after: str | None = None

    @property
    def output(self) -> Any:
        return self.instance.get("output")

    @property
    def error(self) -> Any:
        return self.instance.get("error")


class Texts:
    """The documents of cases. A case that shares an identity with another one, or that listens
    to events, has a namespace of its own: in one namespace a version has one text, and every
    listener hears every event."""

    def __init__(self, cases: Iterable[Case]) -> None:
        self._texts: dict[tuple[str, str], str] = {}
        known: dict[tuple[str, str, str], str] = {}
        for number, case in enumerate(cases):
            files = (*(case.get("also_register") or ()), case["file"])
            texts = {file: _text(case, file) for file in files}
            apart = bool(case.get("events_in"))
            for text in texts.values():
                head = _head(text)
                apart = apart or (head is not None and known.setdefault(head, text) != text)
            for file, text in texts.items():
                self._texts[case["id"], file] = _moved(text, number) if apart else text

    def of(self, case: Case, file: str) -> str:
        return self._texts[case["id"], file]


def _text(case: Case, file: str) -> str:
    texts: dict[str, str] = case.get("texts") or {}
    return texts[file] if file in texts else spec.case_document(case, file)


def _head(text: str) -> tuple[str, str, str] | None:
    try:
        head = load(text).document["document"]
    except DocumentError:
        return None
    return head["namespace"], head["name"], head["version"]


def _moved(text: str, number: int) -> str:
    """The same document in another namespace, and the workflows that it runs with it."""
    return re.sub(r"(\bnamespace:\s*['\"]?)([\w-]+)", rf"\g<1>\g<2>-{number}", text)


class Player:
    """Plays cases, many at once; each one's outcome is had from its future."""

    def __init__(self, product: Product, servers: Servers, cases: list[Case]) -> None:
        self.product = product
        self.servers = servers
        self.texts = Texts(cases)
        self._threads = ThreadPoolExecutor(16)
        # Those that are controlled must be caught in the act, so they go first and alone.
        cases = sorted(cases, key=lambda case: not _controls(case))
        self.outcomes: dict[str, Future[Outcome]] = {}
        for case in cases:
            self.outcomes[case["id"]] = self._threads.submit(self.play, case)
            if _controls(case):
                wait([self.outcomes[case["id"]]])

    def stop(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    def play(self, case: Case) -> Outcome:
        """From deployment to the end."""
        with self.servers.play(case) as requests:
            try:
                deployed = self._deploy(case)
            except Refused as refused:
                return Outcome("invalid", {"error": refused.answer})
            if case["expect"]["status"] in ("invalid", "valid"):
                return Outcome("valid")
            if case["input"] is None and self._is_scheduled(case):
                return self._scheduled(case, deployed)
            return self._run(case, deployed, requests)

    def _is_scheduled(self, case: Case) -> bool:
        return "schedule" in load(self.texts.of(case, case["file"])).document

    def _deploy(self, case: Case) -> Deployed:
        for file in case.get("also_register") or ():
            self.product.deploy(self.texts.of(case, file))
        return self.product.deploy(self.texts.of(case, case["file"]))

    def _run(self, case: Case, deployed: Deployed, requests: list[Request]) -> Outcome:
        try:
            id = self.product.start(deployed, case["input"])
        except Refused as refused:
            return _unfit(refused)
        self._feed(case, deployed.namespace, id)
        expected = case["expect"]["status"]
        instance = self._controlled(case, id, expected)
        outcome = Outcome(instance["status"], instance, self.product.facts(id), list(requests))
        if expected == "waiting":
            self.product.command(id, "cancel")
            outcome.after = self.product.settle(id)["status"]
        return outcome

    def _controlled(self, case: Case, id: str, expected: str) -> dict[str, Any]:
        if "control:suspend/resume" in case["needs"]:
            self.product.command(id, "suspend")
            found = self.product.settle(id, frozenset({"suspended"}))
            assert found["status"] == "suspended"
            self.product.command(id, "resume")
        if expected == "cancelled":
            # A command is decided at once: before the start, there is no task to cancel.
            self.product.settle(id, frozenset({"waiting"}))
            self.product.command(id, "cancel")
        if expected == "waiting":
            return self.product.settle(id, frozenset({"waiting"}))
        return self.product.settle(id, timeout=40)

    def _feed(self, case: Case, namespace: str, id: str) -> None:
        """Publish each event once the instance waits, and let it be matched."""
        for number, event in enumerate(case.get("events_in") or ()):
            self.product.settle(id, frozenset({"waiting"}))
            time.sleep(event.get("delay_ms", 0) / 1000)  # the pause that the case asks for
            self.product.publish(namespace, as_event(case, event, number))

    def _scheduled(self, case: Case, deployed: Deployed) -> Outcome:
        """Wait for the instances that the schedules start, then pause them."""
        for number, event in enumerate(case.get("events_in") or ()):
            self.product.publish(deployed.namespace, as_event(case, event, number))
        ended = self.product.ended(deployed, _STARTS.get(case["id"], 2))
        self.product.pause(deployed)
        for file in case.get("also_register") or ():
            other = self.product.deploy(self.texts.of(case, file))  # the same document again
            self.product.ended(other, 1)
            self.product.pause(other)
        return Outcome(ended[0]["status"], self.product.instance(ended[0]["id"]))


def _controls(case: Case) -> bool:
    return any(need.startswith("control:") for need in case["needs"])


def _unfit(refused: Refused) -> Outcome:
    """An input is held to its schema before there is an instance: what would be the fault of
    the instance is the answer to its start."""
    assert refused.answer["type"].endswith(":invalid-input"), refused
    error = {"type": VALIDATION, "status": 400, "detail": refused.answer["detail"]}
    return Outcome("faulted", {"error": error})


def as_event(case: Case, event: dict[str, Any], number: int) -> dict[str, Any]:
    """A case's event as a whole CloudEvent."""
    given = {name: value for name, value in event.items() if name != "delay_ms"}
    return {"specversion": "1.0", "id": f"{case['id']}-{number}", **given}
