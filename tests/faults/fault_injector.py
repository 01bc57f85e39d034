"""Repeats the fault of a row."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable


class Striker:
    """Strikes repeatedly, in a thread of its own, until the number of strikes is reached."""

    def __init__(
        self,
        strike: Callable[[random.Random], int | None],
        count: int,
        pauses: tuple[float, float],
        seed: int,
    ) -> None:
        self.struck = 0
        self.error: BaseException | None = None
        self._strike, self._count, self._pauses = strike, count, pauses
        self._random = random.Random(seed)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def done(self) -> bool:
        """Whether the number of strikes is reached, or the thread has failed."""
        return self.struck >= self._count or self.error is not None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current strike."""
        self._end.set()
        self._thread.join(120)

    def _run(self) -> None:
        try:
            while not self.done and not self._end.wait(self._random.uniform(*self._pauses)):
                struck = self._strike(self._random)
                self.struck += 1 if struck is None else int(struck)
        except BaseException as error:  # noqa: BLE001  it is told by the row
            self.error = error
