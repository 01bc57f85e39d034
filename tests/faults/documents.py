"""The workflows that run under faults, each with its expected end."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]
Load = tuple[Body, tuple[str, str]]
"""A workflow, and the (status, compensation) that it must end with."""


def effect(name: str, **given: Any) -> Body:
    """A step that writes a line to the ledger."""
    return {name: {"call": "chaos.effect", "with": {"name": name, **given}}}


def undoable(name: str) -> Body:
    """A step whose compensation writes another line."""
    undo = {"call": "chaos.undo", "with": {"name": name}}
    step = effect(name)
    step[name]["metadata"] = {"compensate": undo}
    return step


def document(name: str, *tasks: Body) -> Body:
    """A workflow of the namespace ``chaos``."""
    head = {"dsl": "1.0.3", "namespace": "chaos", "name": name, "version": "1.0.0"}
    return {"document": head, "do": list(tasks)}


def pause(milliseconds: int) -> Body:
    """A workflow that waits between two effects."""
    wait = {"pause": {"wait": {"milliseconds": milliseconds}}}
    return document(f"pause-{milliseconds}", effect("before"), wait, effect("after"))


LINE = document("line", effect("one"), effect("two"), effect("three"))
FORK = document(
    "fork",
    {"all": {"fork": {"branches": [effect("a"), effect("b"), effect("c")]}}},
    effect("last"),
)
SAGA = document(
    "saga",
    undoable("stock"),
    undoable("charge"),
    {"bad": {"call": "chaos.fail", "with": {"name": "bad"}}},
)
PAUSE = pause(300)


def listening(filter: Body) -> Body:
    """A step that waits for one event."""
    return {"hear": {"listen": {"to": {"one": filter}}}}


def signal(id: str) -> Body:
    """The one event that each instance of a `SIGNALLED` workflow waits for."""
    return {"specversion": "1.0", "id": f"for-{id}", "source": "/chaos", "type": "chaos.signal"}


SIGNALLED = document(
    "signalled",
    effect("before"),
    listening({"with": {"type": "chaos.signal"}}),
    effect("after"),
)
_TOLD = {
    "source": "https://chaos.test",
    "type": "chaos.told",
    "data": {"by": "${ $workflow.id }"},
}
#: One branch waits for the event that the other one emits, among those of all other instances.
TALK = document(
    "talk",
    {
        "both": {
            "fork": {
                "branches": [
                    listening(
                        {
                            "with": {"type": "chaos.told"},
                            "correlate": {
                                "by": {"from": ".data.by", "expect": "${ $workflow.id }"}
                            },
                        }
                    ),
                    {
                        "tell": {
                            "emit": {"event": {"with": _TOLD}},
                        }
                    },
                ]
            }
        }
    },
    effect("after"),
)
#: The events that a teller emits: their type, and how many, numbered from 0.
PART, PARTS = "chaos.part", 3


def part(number: int) -> Body:
    """A step that emits one of them."""
    told = {"by": "${ $workflow.id }", "n": number}
    event = {"source": "https://chaos.test", "type": PART, "data": told}
    return {f"part{number}": {"emit": {"event": {"with": event}}}}


TELLER = document(
    "teller",
    *(step for n in range(PARTS) for step in (effect(f"before{n}"), part(n))),
)
#: It would not end by itself: it is cancelled after its start.
CANCELLED = document(
    "cancelled", effect("before"), {"pause": {"wait": {"hours": 1}}}, effect("never")
)

#: What needs nobody after its start: the document, and the (status, compensation) that it ends
#: with.
ALONE: tuple[Load, ...] = (
    (LINE, ("completed", "none")),
    (FORK, ("completed", "none")),
    (SAGA, ("faulted", "completed")),
    (PAUSE, ("completed", "none")),
)
#: What runs under most faults.
MIXED: tuple[Load, ...] = (
    *ALONE,
    (SIGNALLED, ("completed", "none")),
    (TALK, ("completed", "none")),
    (CANCELLED, ("cancelled", "none")),
)


#: Steps long enough to be caught in the middle.
LONG: tuple[Load, ...] = (
    (
        document("long", *(effect(name, seconds=0.2) for name in ("one", "two", "three"))),
        ("completed", "none"),
    ),
)


#: Many timers at once.
TIMERS: tuple[Load, ...] = tuple(
    (pause(milliseconds), ("completed", "none")) for milliseconds in (100, 700, 2000, 5000)
)


def dying(how: str) -> Body:
    """A workflow whose step ends its process each time it is started."""
    return document(
        f"dying-{how}", {"die": {"call": "chaos.die", "with": {"name": "die", "how": how}}}
    )


LARGE = document("large", {"large": {"call": "chaos.large", "with": {"size": 2 << 20}}})
HUNG = document(
    "hung",
    {
        "hang": {
            "call": "chaos.hang",
            "with": {"name": "hang"},
            "timeout": {"after": {"seconds": 2}},
        }
    },
)
#: The file that says which release of the code a worker that starts now would be.
CODE = "code"


def versioned(number: int) -> Body:
    """A version of one workflow whose steps name the version; it runs for a while."""
    pause = {f"v{number}xpause": {"wait": {"seconds": 2}}}
    names = [f"v{number}x{name}" for name in ("one", "two", "three")]
    made = document("versioned", effect(names[0]), pause, *(effect(name) for name in names[1:]))
    made["document"]["version"] = f"{number}.0.0"
    return made
