"""Random documents whose end `oracle` can foretell, and (`exact` False) some where it cannot,
because it depends on time.

Every call has a name of its own, and its arguments say what it will do (`tasks`). Inside of
what runs side by side nothing fails but in one branch, so that the error is always the same.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

Body = dict[str, Any]

ERROR = "https://serverlessworkflow.io/spec/1.0.0/errors/runtime"
CHILD = {"namespace": "sim", "name": "child", "version": "1.0.0"}


def document(name: str, tasks: list[Body], **metadata: Any) -> Body:
    """A document of these tasks."""
    head: Body = {"dsl": "1.0.3", "namespace": "sim", "name": name, "version": "1.0.0"}
    if metadata:
        head["metadata"] = metadata
    return {"document": head, "do": tasks}


class Documents:
    """Makes one random workflow, and the one that it may run."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.made = 0
        self.budget = random.choice([4, 6, 8, 10])
        #: Whether the end can be foretold whatever the order of things.
        self.exact = random.random() < 0.75
        #: Depth of what runs side by side; nothing may fail in there unless `faulty`.
        self.beside = 0
        self.faulty = True
        self.runs_child = False

    def all(self) -> list[Body]:
        """The main document first."""
        about: Body = {"onFault": "hold"} if self._chance(0.1) else {}
        main = document("main", self.tasks(0, 4), **about)
        if not self.runs_child:
            return [main]
        about = {"onFault": "hold"} if self._chance(0.5) else {}
        return [main, document("child", self._child(), **about)]

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _name(self) -> str:
        self.made += 1
        return f"t{self.made}"

    def _child(self) -> list[Body]:
        self.budget = 3
        depth, self.runs_child = 3, False
        tasks = self.tasks(depth, 3)
        self.runs_child = True
        return tasks

    # -- tasks -------------------------------------------------------------------------------

    def tasks(self, depth: int, most: int) -> list[Body]:
        """A list of tasks, some of which may go on elsewhere."""
        count = self.random.randint(1, most)
        found = [self.task(depth) for _ in range(count)]
        names = [next(iter(task)) for task in found]
        for place, task in enumerate(found[:-1]):
            body = task[names[place]]
            if self._chance(0.06):
                choices = ["exit", *names[place + 1 :]]
                choices += [] if self.beside else ["end"]
                body["then"] = self.random.choice(choices)
        return found

    def task(self, depth: int) -> Body:
        """A task of a random kind."""
        self.budget -= 1
        makers: list[Callable[[str, int], Body]] = [self.call] * 4
        makers += [self.set, self.switch]
        if self._chance(0.5):
            makers.append(self.wait)
        if self.faulty:
            makers.append(self.raises)
        if depth < 3 and self.budget > 0:
            makers += [self.do, self.fork, self.fork, self.loop, self.block, self.block]
            if depth == 0 and not self.beside and not self.runs_child:
                makers.append(self.run)
        name = self._name()
        body = self.random.choice(makers)(name, depth)
        if self._chance(0.06):
            body["if"] = self.random.choice(["true", "false", "${ .n == 3 }"])
        if not self.exact and self._chance(0.15):
            body["timeout"] = {"after": {"milliseconds": self.random.randint(100, 4000)}}
        return {name: body}

    def call(self, name: str, _: int) -> Body:
        """A Celery task."""
        given: Body = {"name": name}
        if self.beside and self._chance(0.2):
            given["seconds"] = round(self.random.uniform(0, 2), 2)
        if self._chance(0.1):
            given["retries"] = self.random.randint(1, 2)
        if self.faulty and self._chance(0.25):
            given["fails"] = self.random.choice([1, 1, 2, 99])
            given["status"] = self.random.choice([500, 503])
        if not self.exact and self._chance(0.3):
            given["seconds"] = round(self.random.uniform(0, 5), 2)
        metadata: Body = {}
        if self._chance(0.15):
            metadata["onLost"] = "fault"
        elif self._chance(0.2):
            metadata["maxStarts"] = self.random.randint(1, 4)
        if self._chance(0.5):
            metadata["compensate"] = self._undo(name)
        return {"call": "sim.work", "with": given, **({"metadata": metadata} if metadata else {})}

    def _undo(self, name: str) -> Body:
        given: Body = {"name": name}
        undoing: Body = {"call": "sim.undo", "with": given}
        if self._chance(0.2):
            given["fails"] = self.random.choice([1, 2, 99])
            limit = {"attempt": {"count": self.random.randint(0, 2)}}
            undoing["metadata"] = {"retry": {"delay": {"milliseconds": 300}, "limit": limit}}
        if self._chance(0.1):
            undoing = {"do": [{"one": undoing}, {"two": {"set": {"n": 0}}}]}
        return {**undoing, "onUnknown": self._chance(0.3)}

    def set(self, _: str, __: int) -> Body:
        """A value."""
        if self._chance(0.3):
            return {"set": {"n": "${ .n }"}}
        return {"set": {"n": self.random.randint(0, 6)}}

    def wait(self, _: str, __: int) -> Body:
        """A pause."""
        return {"wait": {"milliseconds": self.random.randint(0, 2500)}}

    def switch(self, _: str, __: int) -> Body:
        """A choice."""
        then = self.random.choice(["continue", "exit"])
        return {
            "switch": [{"one": {"when": f"${{ .n > {self.random.randint(0, 6)} }}", "then": then}}]
        }

    def raises(self, _: str, __: int) -> Body:
        """A fault."""
        error = {"type": ERROR, "status": self.random.choice([500, 503]), "title": "Raised"}
        return {"raise": {"error": error}}

    def do(self, _: str, depth: int) -> Body:
        """A list of tasks."""
        body: Body = {"do": self.tasks(depth + 1, 3)}
        if self._chance(0.2):
            body["metadata"] = {"compensate": self._undo(f"{self.made}")}
        return body

    def fork(self, _: str, depth: int) -> Body:
        """Branches side by side; one of them may fail."""
        count = self.random.randint(2, 4)
        may_fail = self.random.randrange(count) if self.faulty and self._chance(0.5) else -1
        branches, faulty = [], self.faulty
        self.beside += 1
        for place in range(count):
            self.faulty = faulty and place == may_fail
            branches.append(self.task(depth + 1))
        self.beside -= 1
        self.faulty = faulty
        competes = not self.exact and self._chance(0.4)
        fork: Body = {"branches": branches, **({"compete": True} if competes else {})}
        if competes:
            return {"fork": fork, "metadata": {"rollback": self._chance(0.5)}}
        return {"fork": fork, "output": {"as": "${ .[0] }"}}

    def loop(self, _: str, depth: int) -> Body:
        """A list of tasks for each item."""
        items = [self.random.randint(0, 9) for _ in range(self.random.randint(0, 3))]
        beside, faulty = self._chance(0.5), self.faulty
        self.beside += beside
        self.faulty = faulty and not beside
        tasks = self.tasks(depth + 1, 2)
        self.beside -= beside
        self.faulty = faulty
        for task in tasks:
            body = next(iter(task.values()))
            if "call" in body and self._chance(0.7):
                body["with"]["item"] = "${ $item }"
        body = {"for": {"in": str(items)}, "do": tasks}
        if beside:
            body["metadata"] = {"concurrency": self.random.randint(1, 3)}
            body["output"] = {"as": "${ .[0] }"}
        return body

    def block(self, _: str, depth: int) -> Body:
        """A list of tasks whose faults may be caught, and tried again."""
        faulty, self.faulty = self.faulty, self.faulty or not self.beside
        tasks = self.tasks(depth + 1, 3)
        self.faulty = faulty
        catch: Body = {}
        if self._chance(0.3):
            catch["errors"] = {"with": {"status": 500}}
        if self._chance(0.5):
            limit = {"attempt": {"count": self.random.randint(0, 2)}}
            delay = {"milliseconds": self.random.choice([0, 200, 900])}
            catch["retry"] = {"delay": delay, "limit": limit}
        if self._chance(0.5):
            catch["do"] = self.tasks(depth + 1, 2)
        rollback = {"metadata": {"rollback": True}} if self._chance(0.3) else {}
        return {"try": tasks, "catch": catch, **rollback}

    def run(self, _: str, __: int) -> Body:
        """A sub-workflow."""
        self.runs_child = True
        return {"run": {"workflow": {**CHILD, "input": {"n": 1}}}}
