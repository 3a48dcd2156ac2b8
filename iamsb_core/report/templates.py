"""The pages' templates and the files that go into them: one way to read them, and one rule about escaping."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

_PACKAGE = "iamsb_core.report"


def environment() -> Environment:
    """Templates of this folder. What they are given is escaped, but in Markdown; a missing name is an error."""
    return Environment(
        loader=PackageLoader(_PACKAGE, ""),
        autoescape=select_autoescape(disabled_extensions=("md.jinja",), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def assets(*names: str) -> str:
    """Style sheets or scripts of this folder, one after another."""
    return "".join(files(_PACKAGE).joinpath(name).read_text(encoding="utf-8") for name in names)
