"""Many files: resume, summary, exports and exit codes, by the flow and by the command."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from flows.cli import main
from flows.localize import localize
from iamsb_core.report import Thresholds
from iamsb_core.report.exports import FORMATS, file_name
from iamsb_core.training.validation import DECISION_THRESHOLD
from tasks import reporting

pytestmark = pytest.mark.usefixtures("prefect_server", "home")


@pytest.fixture
def folder(tiny_dataset: Path, tmp_path: Path) -> Path:
    """Two good clips, one of them below, and one that is no video."""
    clips = sorted((tiny_dataset / "test").glob("*.mp4"))[:2]
    (tmp_path / "in" / "below").mkdir(parents=True)
    shutil.copy(clips[0], tmp_path / "in" / "a.mp4")
    shutil.copy(clips[1], tmp_path / "in" / "below" / "c.mp4")
    (tmp_path / "in" / "b.mp4").write_bytes(b"no video")
    return tmp_path / "in"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the videos that were decoded."""
    names: list[str] = []
    decode = reporting.Localizer.decode
    monkeypatch.setattr(
        reporting.Localizer,
        "decode",
        lambda self, decoder, video: (names.append(video.name), decode(self, decoder, video))[1],
    )
    return names


def test_only_what_is_new_is_examined(folder: Path, untrained_model: Path, tmp_path: Path, decoded: list[str]):
    model, out = str(untrained_model), tmp_path / "out"
    first = localize([folder], model, out, recursive=True)
    assert [one.video.name for one in first] == ["a.mp4", "b.mp4", "c.mp4"]
    assert [(one.state, one.reused) for one in first] == [("done", False), ("failed", False), ("done", False)]
    assert "b.mp4 is not a video" in first[1].error
    assert decoded == ["a.mp4", "b.mp4", "c.mp4"]

    decoded.clear()
    second = localize([folder], model, out, recursive=True, exports=("all",))
    assert [one.reused for one in second] == [True, False, True]
    assert decoded == ["b.mp4"]
    assert second[0].fused == first[0].fused
    assert all((out / "a" / file_name(each)).is_file() for each in FORMATS.values()), "exported without examining"

    for change in ("media", "report", "settings", "again"):
        decoded.clear()
        options: dict[str, Any] = {}
        if change == "media":
            shutil.copy(folder / "below" / "c.mp4", folder / "a.mp4")
        elif change == "report":
            (out / "a" / "report.json").write_text((out / "c" / "report.json").read_text() + " ")
        elif change == "settings":
            options = {"thresholds": Thresholds(display=0.1)}
        else:
            options = {"thresholds": Thresholds(display=0.1), "again": True}
        (one,) = localize([folder / "a.mp4"], model, out / "a", **options)
        assert (decoded, one.reused) == (["a.mp4"], False), change


def run(capfd: pytest.CaptureFixture[str], *arguments: object, code: int) -> dict[str, Any]:
    capfd.readouterr()
    assert main([*map(str, arguments), "--json"]) == code
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return json.loads(out)


@pytest.fixture
def accusing_model(untrained_model: Path, tmp_path: Path) -> Path:
    """A model that calls everything forged."""
    shutil.copytree(untrained_model, tmp_path / "accusing")
    card = json.loads((tmp_path / "accusing" / "card.json").read_text())
    (tmp_path / "accusing" / "card.json").write_text(json.dumps({**card, "metrics": {DECISION_THRESHOLD: 0.0}}))
    return tmp_path / "accusing"


def test_the_command_tells_by_its_exit_code(
    folder: Path,
    accusing_model: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
    out, model = tmp_path / "out", accusing_model
    options = ("--model", model, "--out", out, "--recursive")
    found = run(capfd, "localize", folder, *options, "--export", "srt,eaf", code=1)
    assert [one["state"] for one in found["videos"]] == ["done", "failed", "done"]
    assert {one["decision"] for one in found["videos"]} == {"forged", ""}
    assert (out / "c" / "report.eaf").is_file()
    assert not (out / "c" / "report.edl").exists()

    summary = json.loads((out / "summary.json").read_text())
    assert summary["counts"]["examined"] == 2
    assert [one["report"] for one in summary["videos"]] == ["a", None, "c"]
    with (out / "summary.csv").open(newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["done", "failed", "done"]
    assert 'href="a/report.html"' in (out / "index.html").read_text()

    assert run(capfd, "localize", folder, *options, "--fail-on-forged", code=3)["exit_code"] == 3
    good = (folder / "a.mp4", os.fspath(folder / "below" / "*.mp4"))
    assert not run(capfd, "localize", *good, *options, code=0)["failed"]
    assert "no export format 'stt'" in run(capfd, "localize", folder, *options, "--export", "stt", code=2)["error"]
    assert "above 0" in run(capfd, "localize", folder, *options, "--false-alarms-per-hour", 0, code=2)["error"]

    exported = run(
        capfd, "export", out / "a" / "report.json", "--format", "edl,textgrid", "--out", tmp_path / "x", code=0
    )
    assert exported["files"] == {name: str(tmp_path / "x" / file_name(FORMATS[name])) for name in ("textgrid", "edl")}
    assert "no report" in run(capfd, "export", out / "summary.json", "--format", "all", code=1)["error"]
    assert "no report" in run(capfd, "export", tmp_path, "--format", "all", code=1)["error"]


def test_an_interrupted_run_ends_the_decoding_at_once(
    folder: Path, untrained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    aborted: list[bool] = []
    abort = reporting.MediaDecoder.abort
    monkeypatch.setattr(reporting.MediaDecoder, "abort", lambda self: (aborted.append(True), abort(self))[1])
    monkeypatch.setattr(reporting.Localizer, "examine", interrupted)
    localizer = reporting.Localizer.load(untrained_model, device="cpu")
    places = {path: tmp_path / path.stem for path in (folder / "a.mp4", folder / "below" / "c.mp4")}
    with pytest.raises(KeyboardInterrupt):
        list(reporting.examine(localizer, places, reporting.ReportOptions(), tmp_path / "work"))
    assert aborted == [True]
