"""Every page escapes what it is given: no template and no code goes round that, and every page has a policy."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from iamsb_core.report import templates

PROJECT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted([*(PROJECT / "iamsb_core").rglob("*.jinja"), *(PROJECT / "flows").rglob("*.jinja")])
SCRIPTS = sorted([*(PROJECT / "iamsb_core").rglob("*.js"), *(PROJECT / "flows").rglob("*.js")])
SAFE = {"style|safe", "page.style|safe", "script|safe", "page.script|safe", "'class=\"sound-only\"'|safe"}
"""our own style sheets and scripts, and a constant"""


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_escapes_everything_but_our_own_files(path: Path):
    text = path.read_text()
    found = set(re.findall(r"""[\w.]+ ?\| ?safe\b|'[^'{}]*' ?\| ?safe\b""", text))
    assert found <= SAFE
    assert "autoescape" not in text
    for tag in re.findall(r"<[a-zA-Z][^<>]*?>", re.sub(r"\{%.*?%\}", "", text)):
        assert not re.search(r"=\{\{", tag), f"an attribute without quotes: {tag}"
        assert not re.search(r"\son\w+\s*=", tag), f"a script in an attribute: {tag}"
    if "<html" in text and "flows" not in path.parts:
        assert "default-src 'none'" in text, "the policy that lets nothing run and nothing load"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_writes_text_and_no_markup(path: Path):
    words = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setTimeout\(['\"]"
    assert not re.search(words, path.read_text())


def test_only_one_place_makes_markup_of_text_and_it_escapes_first():
    made = []
    for package in ("flows", "tasks", "storage", "iamsb_core"):
        for path in (PROJECT / package).rglob("*.py"):
            text = path.read_text()
            if "Markup" in text:
                calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
                made += [
                    (path.name, "escape(" in ast.unparse(one)) for one in calls if ast.unparse(one.func) == "Markup"
                ]
    assert made == [("model_card.py", True)]


@pytest.mark.parametrize("name", ["any.html.jinja", "any.html", "any", "any.xml"])
def test_the_environment_escapes_by_default(name: str):
    environment = templates.environment()
    assert callable(environment.autoescape)
    assert environment.autoescape(name)
    assert environment.from_string("{{ x }}").render(x="<i>&'\"") == "&lt;i&gt;&amp;&#39;&#34;"
