"""The documentation's site: `make docs`. Every warning is an error, a dead link too."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mmdr
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Celery Orchestrator"
author = "The authors of Celery Orchestrator"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "Celery Orchestrator"
html_show_sphinx = False
html_show_copyright = False
html_search_scorer = str(Path(__file__).with_name("search_scorer.js"))
exclude_patterns = ["_build"]
#: A command whose quotes span lines is right, but not to the highlighter of consoles.
suppress_warnings = ["misc.highlighting_failure"]

myst_enable_extensions = ["colon_fence"]
myst_fence_as_directive = ["mermaid"]
#: Headings that links may point at, as on GitHub.
myst_heading_anchors = 3


class Diagram(SphinxDirective):
    """Draws Mermaid text while the site is built, into the page itself: whoever opens the page
    fetches no script, and needs no network. As an image, so that the ids within two diagrams of
    a page don't meet."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The picture; what can't be drawn is an error of the build."""
        text = "\n".join(self.content)
        try:
            drawn = mmdr.render(text).svg()
        except Exception as error:
            raise self.error(f"the diagram can't be drawn: {error}") from error
        data = base64.b64encode(drawn.encode()).decode()
        style = "background: white; max-width: 100%; padding: 0.5em"
        picture = (
            f'<p><img class="diagram" alt="{html.escape(text.splitlines()[0])}"'
            f' style="{style}" src="data:image/svg+xml;base64,{data}"></p>'
        )
        return [nodes.raw("", picture, format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("mermaid", Diagram)
    return {"parallel_read_safe": True}
