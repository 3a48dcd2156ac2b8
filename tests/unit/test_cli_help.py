"""What `iamsb --help` and every command's help look like to a reader."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
import typer
from rich.markup import render
from typer.testing import CliRunner

from flows.cli import app
from flows.commandline.panels import OTHERS, PANELS

ROOT = typer.main.get_command(app)


def commands(group: click.Group = ROOT, prefix: str = "iamsb") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{prefix} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")


def texts(command: click.Command) -> Iterator[str]:
    yield command.help or ""
    yield from (getattr(parameter, "help", None) or "" for parameter in command.params)


def test_every_command_has_its_place():
    placed = {name for names in PANELS.values() for name in names}
    assert set(ROOT.commands) <= placed, "give the new command a panel in flows/commandline/panels.py"
    assert all(command.rich_help_panel != OTHERS for command in ROOT.commands.values())


def test_panels_come_in_order():
    out = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "110"}, prog_name="iamsb").output
    places = [out.index(f"─ {title} ") for title in PANELS]
    assert places == sorted(places)
    assert out.index("iamsb localize talk.mp4") > places[-1]


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=[name for name, _ in commands()])
def test_no_word_is_lost_and_every_sentence_ends(name: str, command: click.Command):
    """The terminal takes words in square brackets for colours, and leaves them out."""
    for text in texts(command):
        assert render(text).plain == text
        assert not text or text.rstrip()[-1] in ".)", text
    assert command.help, f"{name} does not say what it does"
