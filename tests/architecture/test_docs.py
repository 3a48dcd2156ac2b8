"""What the documents say exists, does: commands with their options, files, links, deployments, Python names."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
import yaml

from flows.cli import app
from flows.commandline.panels import EXAMPLES

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([PROJECT / "README.md", PROJECT / "deployments" / "README.md", *(PROJECT / "docs").glob("*.md")])
TOP_FOLDERS = ("flows", "tasks", "storage", "iamsb_core", "deployments", "tests", "docs")
ROOT = typer.main.get_command(app)

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(PROJECT).as_posix())


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """(language, content) of every fenced block."""
    return ((found[1], found[2]) for found in re.finditer(r"^```([^\n]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def commands(text: str) -> Iterator[list[str]]:
    """The words after `iamsb` of every whole command, in blocks and in sentences; one with `...` is none."""
    lines = [line for _, block in blocks(text) for line in block.splitlines()]
    inline = re.findall(r"`(iamsb [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in [*lines, *inline]:
        if re.match(r"\s*iamsb ", line) and "..." not in line:
            yield shlex.split(line.replace("\n", " "), comments=True)[1:]


def check_command(words: list[str], *, whole: bool) -> None:
    """Raises click.UsageError where the command line would refuse it; a bare name in a sentence needs no arguments."""
    command: click.Command = ROOT
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in command.commands:
            raise click.UsageError(f"no command {name!r} in: iamsb {shlex.join(words)}")
        command = command.commands[name]
    if rest == ["--help"] or (not rest and not whole):
        return
    command.make_context(command.name, rest)


@each_document
def test_every_command_parses(path: Path):
    text = path.read_text()
    in_blocks = list(commands("".join(f"```\n{block}```\n" for _, block in blocks(text))))
    for words in in_blocks:
        check_command(words, whole=True)
    for words in commands(text):
        check_command(words, whole=words in in_blocks)


def test_the_help_gives_commands():
    examples = re.findall(r"^  iamsb (.+?)   +\S", EXAMPLES, re.MULTILINE)
    assert len(examples) >= 3
    for example in examples:
        check_command(shlex.split(example), whole=True)


@each_document
def test_every_file_named_is_there(path: Path):
    named = re.findall(rf"`((?:{'|'.join(TOP_FOLDERS)})/[\w./-]+)`", path.read_text())
    assert [name for name in named if not (PROJECT / name).exists()] == []


@each_document
def test_every_link_leads_somewhere(path: Path):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
    inside = [link for link in links if not re.match(r"https?://", link)]
    assert [link for link in inside if not (path.parent / link).exists()] == []


@each_document
def test_every_deployment_named_is_there(path: Path):
    entries = yaml.safe_load((PROJECT / "deployments" / "prefect.yaml").read_text())["deployments"]
    known = {f"{entry['entrypoint'].split(':')[1]}/{entry['name']}" for entry in entries}
    flows = "|".join({name.split("/")[0] for name in known})
    text = path.read_text()
    named = re.findall(r"deployment run ([\w-]+/[\w-]+)", text) + re.findall(rf"`((?:{flows})/[\w-]+)`", text)
    assert [name for name in named if name not in known] == []


@each_document
def test_every_make_target_is_there(path: Path):
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    text = path.read_text()
    named = re.findall(r"`make ([a-z-]+)", text) + re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)
    assert [name for name in named if name not in targets] == []


@each_document
def test_python_in_documents_is_python(path: Path):
    for language, block in blocks(path.read_text()):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_the_picture_is_small():
    pictures = list((PROJECT / "docs" / "images").iterdir())
    assert pictures
    assert all(picture.stat().st_size < 150_000 for picture in pictures)


def test_the_pages_build_and_fetch_nothing(tmp_path: Path):
    options = [
        "--builder",
        "html",
        "--fail-on-warning",
        "--keep-going",
        "--quiet",
        "--doctree-dir",
        str(tmp_path / "d"),
    ]
    command = [sys.executable, "-m", "sphinx", *options, str(PROJECT / "docs"), str(tmp_path / "html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "html").glob("*.html"))
    assert {page.stem for page in DOCUMENTS if page.parent.name == "docs"} <= {page.stem for page in pages}
    for page in [*pages, *(tmp_path / "html" / "_static").glob("*.css")]:
        text = page.read_text()
        assert re.findall(r"""(?:src=|<link[^>]*href=|url\(|@import )["']?(https?:)?//""", text) == [], page


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    pyproject = (PROJECT / "pyproject.toml").read_text()
    assert f'version = "{citation["version"]}"' in pyproject
    assert {"cff-version", "message", "title", "authors", "type"} <= set(citation)
