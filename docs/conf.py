"""How Sphinx builds these pages: `make docs`. Nothing is fetched, neither while building nor while reading."""

from importlib.metadata import version as installed

project = "IaMSB"
author = "The IaMSB authors"
release = installed("iamsb")
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {
    "description": "When, and in which stream, an audio-visual video was forged.",
    "fixed_sidebar": True,
    "show_powered_by": False,
    "font_family": "system-ui, sans-serif",
    "head_font_family": "system-ui, sans-serif",
    "page_width": "1080px",
}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
html_copy_source = False
