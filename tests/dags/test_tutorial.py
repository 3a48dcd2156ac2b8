"""The tutorial, typed in as it stands: every command of docs/tutorial.md, in order, in an empty folder.

That each of them parses is checked with the other documents, in tests/architecture/test_docs.py, in seconds.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from flows.cli import main
from storage.home import Home
from storage.mlflow_setup import connect
from storage.registry import get_alias

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"


def typed() -> list[list[str]]:
    """The words after `iamsb` of every line in a block of kind sh."""
    found = re.findall(r"^```sh\n(.*?)^```", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in found for line in block.splitlines()]
    assert all(words[0] == "iamsb" for words in lines)
    return [words[1:] for words in lines]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_the_tutorial_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IAMSB_HOME", raising=False)
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())  # the tests' own server
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    commands = typed()
    assert [words[0] for words in commands[:2]] == ["doctor", "forge"]
    for words in commands:
        assert main(words) == 0, shlex.join(words)

    text = TUTORIAL.read_text()
    named = re.findall(r"`((?:talks|report|reports)/[\w./]+)`", text)
    assert len(named) >= 5
    assert [name for name in named if not (tmp_path / name).exists()] == []
    assert {"report.srt", "report.csv", "report.eaf"} <= {path.name for path in (tmp_path / "report").iterdir()}

    splits = json.loads((tmp_path / "talks" / "data_card.json").read_text())["splits"]
    assert [splits[name]["num_clips"] for name in ("train", "dev", "test")] == [24, 6, 10]
    assert sum(len(split["people"]) for split in splits.values()) == 8

    home = Home.current()
    assert home.root == tmp_path / ".iamsb"
    champion = get_alias(home)
    assert champion is not None
    assert "test split" in str(connect(home).get_model_version("iamsb", champion.version).description)
