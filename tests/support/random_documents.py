"""Random documents, and random workers and people who run them, for property tests."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from orchestrator.core.model import AttemptEnd, AttemptState, Status, StimulusKind
from orchestrator.testing.world import World
from tests.support.documents import doc

Body = dict[str, Any]

ERROR = "https://serverlessworkflow.io/spec/1.0.0/errors/"


class Documents:
    """Makes random valid documents. Every task has a name of its own."""

    #: The workflow's own tasks, at most.
    most = 4

    def __init__(self, random: Random, *, child: str | None = None) -> None:
        self.random = random
        self.child = child
        self.made = 0

    def document(self) -> Body:
        about: Body = {}
        if self.random.random() < (0.1 if self.child else 0.5):
            about = {"metadata": {"onFault": "hold"}}
        if self.child is None:
            about["name"] = "child"
        return doc(*self.tasks(0, most=self.most), about=about)

    def tasks(self, depth: int, most: int = 3) -> list[Body]:
        return [self.task(depth) for _ in range(self.random.randint(1, most))]

    def task(self, depth: int) -> Body:
        self.made += 1
        name = f"t{self.made}"
        body = self.random.choice(self.makers(depth))(depth)
        return {name: self._dressed(body, name)}

    def makers(self, depth: int) -> list[Callable[[int], Body]]:
        """What a task may be, each as often as it is likely."""
        makers: list[Callable[[int], Body]] = [self.call, self.call, self.call, self.set, self.wait]
        makers += [self.switch, self.fault, self.emit, self.listen]
        if self.child is not None:
            makers += [self.run]
        if depth < 3:
            makers += [self.do, self.fork, self.fork, self.loop, self.block, self.block]
        return makers

    def _dressed(self, body: Body, name: str) -> Body:
        metadata = body.setdefault("metadata", {})
        if self.random.random() < (0.7 if "call" in body else 0.15):
            undoing: Body = {"call": f"undo-{name}"}
            if self.random.random() < 0.2:
                undoing = {"do": [{"one": {"call": f"undo-{name}"}}, {"two": {"set": {}}}]}
            metadata["compensate"] = {**undoing, "onUnknown": self.random.random() < 0.3}
        if self.random.random() < 0.1:
            body["timeout"] = {"after": {"seconds": self.random.randint(1, 20)}}
        if self.random.random() < 0.1:
            body["if"] = self.random.choice(["true", "false"])
        if self.random.random() < 0.05:
            body["then"] = self.random.choice(["exit", "end", "continue"])
        return body

    def call(self, _: int) -> Body:
        metadata: Body = {}
        if self.random.random() < 0.3:
            metadata["onLost"] = "fault"
        return {"call": "work", "metadata": metadata}

    def set(self, _: int) -> Body:
        return {"set": {"n": self.random.randint(0, 9)}}

    def wait(self, _: int) -> Body:
        return {"wait": {"seconds": self.random.randint(0, 9)}}

    def switch(self, _: int) -> Body:
        return {"switch": [{"yes": {"when": "true", "then": "continue"}}]}

    def fault(self, _: int) -> Body:
        if self.random.random() < 0.6:
            return self.call(0)
        error = {"type": ERROR + "runtime", "status": self.random.choice([500, 503])}
        return {"raise": {"error": error}}

    def emit(self, _: int) -> Body:
        return {"emit": {"event": {"with": {"type": "t", "source": "s"}}}}

    def listen(self, _: int) -> Body:
        to: Body = {"any": [{"with": {"type": "t"}}]}
        if self.random.random() < 0.5:
            to["until"] = ". | length >= 2"
        body: Body = {"listen": {"to": to}}
        if self.random.random() < 0.5:
            body["foreach"] = {"do": self.tasks(3, most=2)}
        return body

    def run(self, _: int) -> Body:
        about = {"namespace": "test", "name": self.child, "version": "1.0.0"}
        return {"run": {"workflow": about, "await": self.random.random() < 0.8}}

    def do(self, depth: int) -> Body:
        return {"do": self.tasks(depth + 1)}

    def fork(self, depth: int) -> Body:
        branches = self.tasks(depth + 1, most=4)
        body: Body = {"fork": {"branches": branches, "compete": self.random.random() < 0.4}}
        if body["fork"]["compete"] and self.random.random() < 0.5:
            body["metadata"] = {"rollback": True}
        elif not body["fork"]["compete"] and self.random.random() < 0.4:
            body["metadata"] = {"onMemberFault": "finish"}
        return body

    def loop(self, depth: int) -> Body:
        items = list(range(self.random.randint(0, 3)))
        body: Body = {"for": {"in": str(items)}, "do": self.tasks(depth + 1, most=2)}
        if self.random.random() < 0.5:
            body["metadata"] = {"concurrency": self.random.randint(1, 3)}
            if self.random.random() < 0.4:
                body["metadata"]["onMemberFault"] = "finish"
        return body

    def block(self, depth: int) -> Body:
        catch: Body = {}
        if self.random.random() < 0.3:
            catch["errors"] = {"with": {"status": 500}}
        if self.random.random() < 0.5:
            limit: Body = {"attempt": {"count": self.random.randint(0, 2)}}
            if self.random.random() < 0.3:
                limit["attempt"]["duration"] = {"seconds": 15}
            catch["retry"] = {"delay": {"seconds": self.random.randint(0, 3)}, "limit": limit}
        if self.random.random() < 0.5:
            catch["do"] = self.tasks(depth + 1, most=2)
        metadata = {"rollback": True} if self.random.random() < 0.4 else {}
        if self.random.random() < 0.2:
            metadata["rethrow"] = True
        return {"try": self.tasks(depth + 1), "catch": catch, "metadata": metadata}


class Sagas(Documents):
    """Makes documents with much to undo, some of which a person must see to."""

    most = 8

    def document(self) -> Body:
        made = super().document()
        if self.child is not None and self.random.random() < 0.5:
            made["do"].append({"last": {"raise": {"error": {"type": ERROR + "runtime"}}}})
            made["do"][-1]["last"]["raise"]["error"]["status"] = 500
        return made

    def makers(self, depth: int) -> list[Callable[[int], Body]]:
        makers: list[Callable[[int], Body]] = [self.call] * 6
        makers += [self.wait, self.fault] + ([self.run] if self.child else [])
        if depth < 2:
            makers += [self.do, self.fork, self.loop, self.block, self.block]
        return makers

    def _dressed(self, body: Body, name: str) -> Body:
        undoing = super()._dressed(body, name)["metadata"].get("compensate")
        if undoing is not None and self.random.random() < 0.3:
            undoing["metadata"] = {"retry": {"limit": {"attempt": {"count": 0}}}}
        return body


class Outside:
    """Workers, watchdog, clock and people, all at random."""

    def __init__(self, world: World, id: str, random: Random) -> None:
        self.world = world
        self.id = id
        self.random = random
        self.repairs = 0

    def step(self) -> bool:
        """Do one thing; False: there is nothing left to do."""
        world = self.world
        if len(world.rows) > 1 and self.random.random() < 0.1:
            self.hold_back()
        acts: list[tuple[int, Callable[[], None]]] = []
        if world.ready():
            acts += [(6, self.claim), (1, self.lose_unclaimed)]
        if world.running():
            acts += [(8, self.succeed), (2, self.fail), (1, self.lose)]
        if world.next_due() is not None:
            acts += [(3, world.fire)]
        if self.listening():
            acts += [(3, self.publish)]
        if not acts and world.paused:
            world.paused.clear()
            world.drain()
            return True
        if not acts and world.instance(self.id).status is not Status.SUSPENDED:
            return self.repair()
        acts += [(1, self.command)]
        weights, moves = zip(*acts, strict=True)
        self.random.choices(moves, weights)[0]()
        return True

    def hold_back(self) -> None:
        """Notes to an instance wait for a while; those that had waited come."""
        world, self.world.paused = self.world, set()
        world.drain()
        if self.random.random() < 0.5:
            world.paused = {self.random.choice(list(world.rows))}

    def claim(self) -> None:
        self.world.claim(self.random.choice(self.world.ready()))

    def succeed(self) -> None:
        attempt, output = self.random.choice(self.world.running()), self.random.randint(0, 99)
        chance = self.random.random()
        if chance < 0.05:
            more: Body = {"leaves_chain": True}
        elif chance < 0.1 and "test/child/1.0.0" in self.world.workflows:
            child = {"workflow_id": "test/child/1.0.0", "namespace": "test", "input": output}
            more = {"replacement": child}
        else:
            return self.world.succeed(attempt, output)
        end = AttemptEnd(attempt.id, AttemptState.SUCCEEDED, output, **more)
        return self.world.end(attempt, end)

    def fail(self) -> None:
        error = {"type": ERROR + "runtime", "status": self.random.choice([500, 503])}
        more: Body = {"retry_in": 2.0} if self.random.random() < 0.2 else {}
        self.world.fail(self.random.choice(self.world.running()), error, **more)

    def lose(self) -> None:
        self.world.lose(self.random.choice(self.world.running()))

    def lose_unclaimed(self) -> None:
        if self.random.random() < 0.2:
            self.world.lose(self.random.choice(self.world.ready()), claimed=False)

    def command(self) -> None:
        status = self.world.instance(self.id).status
        if status is Status.SUSPENDED:
            return self.world.command(self.id, "resume")
        chance = self.random.random()
        if chance < 0.1:
            return self.world.command(self.id, "cancel")
        if chance < 0.3:
            return self.world.command(self.id, "suspend")
        if chance < 0.4:
            step = self.random.choice(self.world.steps(self.id) or [None])
            return self.world.command(self.id, "skip", step=step and step.id)
        return None

    def listening(self) -> list[tuple[str, int]]:
        return [(id, step) for id, rows in self.world.rows.items() for step in rows.listeners]

    def publish(self) -> None:
        id, step = self.random.choice(self.listening())
        event = {"type": "t", "data": self.random.randint(0, 9)}
        self.world.send_stimulus(id, StimulusKind.EVENT, step, {"event": event, "matches": [0]})

    def repair(self) -> bool:
        """A person looks at what has stopped. False: nothing comes of it."""
        self.repairs += 1
        if self.repairs > 6:
            return False
        if len(self.world.rows) > 1 and self.random.random() < 0.4:
            return self.repair_child()
        chance = self.random.random()
        data = {}
        if chance < 0.3:
            step = self.random.choice(self.world.steps(self.id) or [None])
            data["from"] = step and step.id
        self.world.command(self.id, "skip" if chance > 0.8 else "retry", **data)
        return True

    def repair_child(self) -> bool:
        """A person sees to a sub-workflow, whatever its parent does."""
        child = self.random.choice([id for id in self.world.rows if id != self.id])
        command = self.random.choice(["retry", "retry", "skip", "compensate", "terminate"])
        self.world.command(child, command)
        return True
