"""Rules that hold for every source file, read from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("flows", "tasks", "storage", "iamsb_core")
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 60

HOMES = {
    "prefect": ("flows", "tasks"),
    "prefect_dask": ("tasks",),
    "dask": ("tasks",),
    "distributed": ("tasks",),
    "zarr": ("storage",),
    "obstore": ("storage",),
    "mlflow": ("storage",),
    "decord": ("iamsb_core/media/video.py",),
    "typer": ("flows",),
    "rich": ("flows",),
}
"""Where a library may be imported, as folders or files."""


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))


def named(paths: list[Path]) -> list[str]:
    return [path.relative_to(PROJECT).as_posix() for path in paths]


TESTS = sorted((PROJECT / "tests").rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """The top-level name of every absolute import, wherever in the file it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def test_the_rules_see_files():
    assert len(sources()) > 30
    assert "flows/cli.py" in named(sources())


@pytest.mark.parametrize("path", sources(), ids=named(sources()))
def test_source_file(path: Path):
    text = path.read_text()
    tree = ast.parse(text)
    place = path.relative_to(PROJECT).as_posix()
    assert text.count("\n") <= MAX_FILE_LINES, "split the file: one idea each"
    assert ast.get_docstring(tree), "say in the first line what the file is for"
    for name in imported(tree):
        homes = HOMES.get(name, PACKAGES)
        assert any(place == home or place.startswith(f"{home}/") for home in homes), f"{name} belongs in {homes}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert num_lines <= MAX_FUNCTION_LINES, f"{node.name} has {num_lines} lines"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"line {node.lineno}: log it, or use the terminal"


@pytest.mark.parametrize("path", sorted((PROJECT / "flows").glob("*.py")), ids=lambda path: path.name)
def test_no_unmapped_outside_a_map(path: Path):
    """`unmapped(x)` given to .submit or to a plain call arrives as the wrapper, not as x."""
    tree = ast.parse(path.read_text())
    allowed = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "map"
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]
        for inner in ast.walk(argument)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "unmapped":
            assert id(node) in allowed, f"line {node.lineno}: unmapped outside .map"


@pytest.mark.parametrize("path", TESTS, ids=named(TESTS))
def test_test_file(path: Path):
    """What several of them share belongs in tests/cases, or in a module of their folder."""
    text = path.read_text()
    assert text.count("\n") <= MAX_FILE_LINES, "split the file: one idea each"
    assert ast.get_docstring(ast.parse(text)), "say in the first line what the file is for"


def test_tests_are_no_packages():
    assert not list((PROJECT / "tests").rglob("__init__.py"))
