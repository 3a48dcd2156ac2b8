"""`iamsb forge`: options to a dataset with its card, and one message for what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from flows.cli import main
from iamsb_core.datasets.registry import read_dataset

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def iamsb(home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """`iamsb ... --json` in this process; the document that it prints."""
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())  # the tests' own server

    def run(*arguments: object, code: int = 0) -> dict[str, Any]:
        capfd.readouterr()
        assert main([*map(str, arguments), "--json"]) == code
        return json.loads(capfd.readouterr().out)

    return run


def test_drawn_people_are_forged_as_the_options_say(iamsb, tmp_path: Path):
    options = ("--preset", "quick", "--clips", 6, "--people", 3, "--layout", "av-deepfake1m", "--difficulty", "hard")
    (tmp_path / "config.json").write_text('{"max_segments": 1}')
    done = iamsb("forge", "drawn", tmp_path / "out", *options, "--config", tmp_path / "config.json", "--seed", 3)
    assert [split["num_clips"] for split in done["splits"].values()] == [3, 1, 2]
    assert not done["reused"]
    card = json.loads((tmp_path / "out" / "data_card.json").read_text())
    assert (card["layout"], card["difficulty"], card["seed"]) == ("av-deepfake1m", "hard", 3)
    assert card["config"]["max_segments"] == 1
    assert sum(len(split["people"]) for split in card["splits"].values()) == 3
    assert Path(done["card"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len(read_dataset("av-deepfake1m", tmp_path / "out").videos) == 6
    again = iamsb("forge", "drawn", tmp_path / "out", *options, "--config", tmp_path / "config.json", "--seed", 3)
    assert again["reused"]
    assert "other media, settings or seed" in iamsb("forge", "drawn", tmp_path / "out", *options, code=1)["error"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--preset", "benchmrk"), "did you mean 'benchmark'"),
        (("--layout", "av-deepfake"), "did you mean 'av-deepfake1m'"),
        (("--difficulty", "esy"), "did you mean 'easy'"),
        (("--placement", "asynchron"), "did you mean 'asynchronous'"),
        (("--clips", "2"), "cannot fill 3 splits"),
        (("--people", "2"), "2 people cannot fill 3 splits"),
        (("--config", "{tmp}/nowhere.json"), "must be a JSON object"),
        (("--config", "{tmp}/wrong.json"), "did you mean 'max_segments'"),
    ],
)
def test_what_is_wrong_with_an_option_is_one_message(iamsb, tmp_path: Path, options: tuple[str, ...], message: str):
    (tmp_path / "wrong.json").write_text('{"max_segmnts": 1}')
    shown = [option.format(tmp=tmp_path) for option in options]
    assert message in iamsb("forge", "drawn", tmp_path / "out", *shown, code=1)["error"]
    assert not (tmp_path / "out").exists()
