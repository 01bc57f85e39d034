"""What bounds a transition, and an instance."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds (DESIGN, I17).

    `tasks` are run in one transition before it commits with a note to go on; `counter` is
    the greatest number an instance may give to its steps and completions; `turns` bounds
    loops backward that never leave the process; a loop keeps the steps of its first `kept`
    turns and forgets those of later ones as it goes; `items` of a `for` are stored together;
    `events` may be collected by one `listen`; sub-workflows nest up to `depth`,
    and are those of the instance's own namespace unless `across` is set. What expressions and
    joins make has up to `payload` bytes of JSON, as what a task returns.
    """

    tasks: int = 100
    counter: int = 2_000_000
    turns: int = 10_000
    kept_turns: int = 1_000
    items: int = 100
    events: int = 10_000
    depth: int = 20
    other_namespaces: bool = False
    payload: int = 1 << 20
