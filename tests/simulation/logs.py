"""Checks what the product logs during the simulation: an error is a failure of the run."""

from __future__ import annotations

import logging
import traceback
from typing import Any


class Recorder:
    """Replaces the modules' loggers."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.stale = 0

    def info(self, *_: Any, **__: Any) -> None:
        """Nothing to see."""

    def warning(self, _: str, action: str = "", **__: Any) -> None:
        """Counts the results that were refused."""
        self.stale += action == "stale_result"

    def exception(self, message: str, **told: Any) -> None:
        """Something is wrong with the product."""
        self.errors.append(f"{message} {told}\n{traceback.format_exc()}")

    def error(self, message: str, exc_info: Any = None, **told: Any) -> None:
        """The same."""
        self.log(logging.ERROR, message, exc_info, **told)

    def log(self, level: int, message: str, exc_info: Any = None, **told: Any) -> None:
        """As its level says."""
        if level >= logging.ERROR:
            shown = "".join(traceback.format_exception(exc_info)) if exc_info else ""
            self.errors.append(f"{message} {told}\n{shown}")
