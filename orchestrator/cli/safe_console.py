"""rich's console for text that comes from outside; apart, because few commands need rich."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from orchestrator.cli.terminal_text import is_harmful, visible_lines


class SafeConsole(Console):
    """A console that shows control characters of what it is given escaped; its own colours and
    movements are segments of another kind."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As rich does it, with the text of every segment made visible."""
        for segment in super().render(renderable, options):
            if segment.control is None and is_harmful(segment.text):
                yield Segment(visible_lines(segment.text), segment.style)
            else:
                yield segment
