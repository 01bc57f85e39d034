"""A rich console for text from outside. A module of its own, because few commands need rich."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from orchestrator.terminal_text import is_harmful, visible_lines


class SafeConsole(Console):
    """A console that escapes control characters in printed text. rich's own colours and cursor
    movements are not text, and stay."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does, then escape the control characters in every segment of text."""
        for segment in super().render(renderable, options):
            if segment.control is None and is_harmful(segment.text):
                yield Segment(visible_lines(segment.text), segment.style)
            else:
                yield segment
