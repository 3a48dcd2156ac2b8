"""`iamsb dataset check` as a user types it: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main

ROWS = ["path,split,start,end,modality,duration,identity", "a.mp4,train,1,2,audio,4,ann", "b.mp4,test,,,,4,bob"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IAMSB_HOME", str(tmp_path / "home"))
    for name in ("PREFECT_HOME", "PREFECT_API_URL"):
        monkeypatch.setenv(name, "")  # what the command sets is taken back
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (folder / name).write_bytes(b"no video")
    return folder


def check(root: Path, capfd: pytest.CaptureFixture[str], *options: object, code: int = 0) -> dict[str, Any]:
    capfd.readouterr()
    assert main(["dataset", "check", "generic", str(root), *map(str, options), "--json"]) == code
    return json.loads(capfd.readouterr().out)


def write(root: Path, *rows: str) -> None:
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")


def test_the_report_is_written_where_it_is_printed_to_be(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(root, *ROWS)
    printed = check(root, capfd)
    files = {kind: Path(path) for kind, path in printed.pop("files").items()}
    assert json.loads(files["json"].read_text()) == printed
    assert files["html"].read_text().startswith("<!DOCTYPE html>")
    assert files["html"].parent.parent == root.parent / "home" / "reports"
    assert (printed["format"], printed["num_videos"], printed["failed"]) == ("iamsb-dataset-check/1", 2, False)
    assert {split["split"]: split["num_forged"] for split in printed["splits"]} == {"train": 1, "dev": 0, "test": 0}
    assert check(root, capfd)["files"] == {kind: str(path) for kind, path in files.items()}  # replaced, not piled up


def test_an_error_is_exit_code_1_and_the_report_is_written_all_the_same(
    root: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write(root, *ROWS, "a.mp4,train,3,9,audio,4,ann")
    printed = check(root, capfd, "--out", tmp_path / "out", code=1)
    assert printed["failed"]
    assert printed["findings"][0]["kind"] == "outside_clip"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]


def test_probing_turns_bad_files_into_findings(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(root, *ROWS)
    printed = check(root, capfd, "--probe", "--workers", 1)
    (bad,) = [one for one in printed["findings"] if one["kind"] == "bad_media"]
    assert (bad["count"], bad["severity"]) == (2, "warning")
    assert "not a video or audio file" in bad["instances"][0]["message"]


def test_the_readable_summary_says_the_findings_and_the_page(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(root, *ROWS)
    (root / "stray.mp4").touch()
    assert main(["dataset", "check", "generic", str(root)]) == 0
    said = capfd.readouterr().out
    assert "note: 1 media file is not listed, so left out: 1 in ." in said
    assert "page: " in said


def test_options_of_probing_without_probing_are_wrong_usage(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(root, *ROWS)
    assert "add --probe" in check(root, capfd, "--workers", 2, code=2)["error"]
