"""The documentation's site: `make docs`. Every warning is an error, a dead link too."""

project = "Celery Orchestrator"
author = "The authors of Celery Orchestrator"
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
html_theme = "furo"
html_title = "Celery Orchestrator"
html_show_sphinx = False
html_show_copyright = False
exclude_patterns = ["_build"]
#: A command whose quotes span lines is right, but not to the highlighter of consoles.
suppress_warnings = ["misc.highlighting_failure"]

myst_enable_extensions = ["colon_fence"]
myst_fence_as_directive = ["mermaid"]
#: Headings that links may point at, as on GitHub.
myst_heading_anchors = 3
