"""The documentation site: the pages of this folder; `make docs` builds it in site/, where warnings are errors."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "battery-pipeline"
author = "The battery-pipeline authors"
project_copyright = f"2026 {author}"
release = version_of(project)

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "furo"
html_title = f"{project} {release}"
html_show_sphinx = False
html_copy_source = False
pygments_style = "friendly"
