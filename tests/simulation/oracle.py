"""Predicts how an instance ends, from its document alone: a separate interpreter for the subset of
`documents`, without code of the product.

Its only other input is which steps were lost for good: those fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.simulation.tasks import error, output_of

Json = Any

#: Whether the n-th step of this task was lost for good.
Lost = Callable[[str, int], bool]


class Faulted(Exception):
    """A task has faulted, with an error of this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Left(Exception):
    """`exit` or `end`, with the output so far."""

    def __init__(self, how: str, output: Json) -> None:
        super().__init__(how)
        self.how, self.output = how, output


@dataclass(frozen=True, slots=True)
class End:
    """How an instance ends: by its output, or by the status of its error."""

    output: Json = None
    status: int | None = None


class Oracle:
    """One run of a document, and of those that it runs."""

    def __init__(self, documents: dict[str, dict[str, Any]], lost: Lost) -> None:
        self.documents = documents
        self.lost = lost
        self.ran: Counter[str] = Counter()

    def end(self, name: str, given: Json) -> End:
        """How an instance of this document ends."""
        try:
            return End(self._list(self.documents[name]["do"], "/do", given, {}))
        except Left as left:
            return End(left.output)
        except Faulted as fault:
            return End(status=fault.status)

    # -- lists -------------------------------------------------------------------------------

    def _list(self, tasks: list[Json], place: str, value: Json, scope: Json) -> Json:
        """The output of a list; `end` goes through."""
        names = [next(iter(task)) for task in tasks]
        at = 0
        while at < len(tasks):
            value, then = self._one(tasks[at], f"{place}/{at}", value, scope)
            if then == "end":
                raise Left("end", value)
            if then == "exit":
                break
            at = at + 1 if then in (None, "continue") else names.index(then)
        return value

    def _one(self, task: Json, place: str, value: Json, scope: Json) -> tuple[Json, str | None]:
        """What a task gives out, and where it says to go on."""
        name, body = next(iter(task.items()))
        if not self._holds(body.get("if", True), value, scope):
            return value, None
        ref = f"{place}/{name}"
        kind = next(kind for kind in _KINDS if kind in body)
        output, then = _KINDS[kind](self, body, ref, value, scope)
        transform = body.get("output", {}).get("as")
        if transform is not None:
            output = output[0] if output else None
        return output, body.get("then") if then is None else then

    def _holds(self, condition: Json, value: Json, scope: Json) -> bool:
        if isinstance(condition, bool):
            return condition
        text = condition.removeprefix("${ ").removesuffix(" }")
        if text in ("true", "false"):
            return text == "true"
        _, operator, number = text.split()
        n = self._n(value)
        return n == int(number) if operator == "==" else n is not None and n > int(number)

    def _n(self, value: Json) -> Json:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise Faulted(400)
        return value.get("n")

    # -- kinds -------------------------------------------------------------------------------

    def _call(self, body: Json, ref: str, _: Json, scope: Json) -> tuple[Json, None]:
        given = dict(body["with"])
        if "item" in given:
            given["item"] = scope["item"]
        rank = self.ran[ref]
        self.ran[ref] += 1
        if self.lost(ref, rank):
            raise Faulted(500)
        if rank < given.get("fails", 0):
            raise Faulted(error(given["status"])["status"])
        return output_of(given["name"], given.get("item")), None

    def _set(self, body: Json, _: str, value: Json, __: Json) -> tuple[Json, None]:
        n = body["set"]["n"]
        return {"n": self._n(value) if isinstance(n, str) else n}, None

    def _wait(self, _: Json, __: str, value: Json, ___: Json) -> tuple[Json, None]:
        return value, None

    def _switch(self, body: Json, _: str, value: Json, scope: Json) -> tuple[Json, str | None]:
        case = body["switch"][0]["one"]
        return value, case["then"] if self._holds(case["when"], value, scope) else None

    def _raise(self, body: Json, _: str, __: Json, ___: Json) -> tuple[Json, None]:
        raise Faulted(body["raise"]["error"]["status"])

    def _do(self, body: Json, ref: str, value: Json, scope: Json) -> tuple[Json, None]:
        return self._list(body["do"], f"{ref}/do", value, scope), None

    def _fork(self, body: Json, ref: str, value: Json, scope: Json) -> tuple[Json, None]:
        outputs, fault = [], None
        for at, branch in enumerate(body["fork"]["branches"]):
            try:
                outputs.append(self._one(branch, f"{ref}/fork/branches/{at}", value, scope)[0])
            except Faulted as found:
                fault = found
        if fault is not None:
            raise fault
        return outputs, None

    def _for(self, body: Json, ref: str, value: Json, scope: Json) -> tuple[Json, None]:
        items = [int(item) for item in body["for"]["in"].strip("[]").split(",") if item]
        beside = "concurrency" in body.get("metadata", {})
        outputs, output = [], value
        for index, item in enumerate(items):
            raw = value if beside else output
            output = self._list(
                body["do"], f"{ref}/do", raw, {**scope, "item": item, "index": index}
            )
            outputs.append(output)
        return outputs if beside else output, None

    def _try(self, body: Json, ref: str, value: Json, scope: Json) -> tuple[Json, None]:
        catch = body.get("catch", {})
        retries = 0
        while True:
            try:
                return self._list(body["try"], f"{ref}/try", value, scope), None
            except Faulted as fault:
                wanted = catch.get("errors", {}).get("with", {}).get("status")
                if wanted not in (None, fault.status):
                    raise
                if "retry" in catch and retries < catch["retry"]["limit"]["attempt"]["count"]:
                    retries += 1
                    continue
                if "retry" in catch and not catch.get("do"):
                    raise
                return self._list(catch.get("do", []), f"{ref}/catch/do", value, scope), None

    def _run(self, body: Json, ref: str, _: Json, __: Json) -> tuple[Json, None]:
        about = body["run"]["workflow"]
        child = Oracle(self.documents, lambda place, n: self.lost(f"{ref} {place}", n))
        end = child.end(about["name"], about["input"])
        if end.status is not None:
            raise Faulted(end.status)
        return end.output, None


_KINDS: dict[str, Callable[[Oracle, Json, str, Json, Json], tuple[Json, str | None]]] = {
    "call": Oracle._call,
    "set": Oracle._set,
    "wait": Oracle._wait,
    "switch": Oracle._switch,
    "raise": Oracle._raise,
    "fork": Oracle._fork,
    "for": Oracle._for,
    "try": Oracle._try,
    "run": Oracle._run,
    "do": Oracle._do,  # the last, because a `for` has one too
}
