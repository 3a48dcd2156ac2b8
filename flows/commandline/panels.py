"""How `iamsb --help` reads: the commands in groups, in the order in which a newcomer meets them, and examples."""

from __future__ import annotations

import typer
from click import Context
from typer.core import TyperGroup

PANELS: dict[str, tuple[str, ...]] = {
    "First contact": ("demo", "doctor"),
    "Videos": ("localize", "watch", "desk", "export"),
    "Data": ("dataset", "forge", "extract", "features"),
    "Models": (
        "train",
        "tune",
        "evaluate",
        "robustness",
        "compare",
        "experiment",
        "reproduce",
        "predict",
        "submission",
        "score",
    ),
    "Operations": ("up", "down", "register", "rollback", "gc", "backup", "restore", "store"),
}
"""by title; a command that is in none of them comes last, under Others"""
OTHERS = "Others"
EXAMPLES = """
Examples:

  iamsb demo                               every stage once, in minutes

  iamsb localize talk.mp4 --out report     says when, in which stream, and why

  iamsb dataset check lavdf /data/LAV-DF   before you train on it

  iamsb train lavdf /data/LAV-DF           extracts what is missing first

Exit codes: 0 done, 1 failed, 2 wrong usage. All commands have --json.
"""
_ORDER = {name: place for place, name in enumerate(name for names in PANELS.values() for name in names)}


class OrderedGroup(TyperGroup):
    """Lists its commands in the order of the panels."""

    def list_commands(self, ctx: Context) -> list[str]:
        """Known ones in order, then the others as they were registered."""
        return sorted(super().list_commands(ctx), key=lambda name: _ORDER.get(name, len(_ORDER)))


def arrange(app: typer.Typer) -> None:
    """Give every command and group of commands of the app its panel."""
    panels = {name: title for title, names in PANELS.items() for name in names}
    for command in app.registered_commands:
        name = command.name or (command.callback.__name__.replace("_", "-") if command.callback else "")
        command.rich_help_panel = panels.get(name, OTHERS)
    for group in app.registered_groups:
        group.rich_help_panel = panels.get(group.name or "", OTHERS)
