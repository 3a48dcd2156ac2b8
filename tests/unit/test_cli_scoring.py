"""`iamsb score` and `iamsb submission`, from the command line to the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.cli import main
from flows.terminal import DONE, FAILED, WRONG_USAGE


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IAMSB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home" / "prefect"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Labels of 40 clips in AV-Deepfake1M's form, a good system's predictions, and a worse one's."""
    rng = np.random.default_rng(0)
    labels, good, worse = [], {}, {}
    for index in range(40):
        kind = ("real", "audio_modified", "visual_modified", "both_modified")[index % 4]
        truth = [] if kind == "real" else [[1.0, 1.0 + 0.2 * (1 + index % 7)]]
        labels.append(
            {
                "file": f"{index:06d}.mp4",
                "split": "val",
                "modify_type": kind,
                "audio_model": "vits" if kind in ("audio_modified", "both_modified") else "",
                "fake_segments": truth,
                "audio_fake_segments": truth if kind in ("audio_modified", "both_modified") else [],
                "visual_fake_segments": truth if kind in ("visual_modified", "both_modified") else [],
                "video_frames": 200,
            }
        )
        start, end = truth[0] if truth else (5.0, 6.0)
        for found, error in ((good, 0.01), (worse, 0.15)):
            rows = [[0.9 if truth else 0.3, start + error * rng.random(), end], [0.2, 6.0, 7.0], [0.1, 0.0, 0.5]]
            found[f"{index:06d}.mp4"] = rows
    for name, document in (("labels", labels), ("good", good), ("worse", worse)):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    (tmp_path / "test_files.txt").write_text("".join(f"{index:06d}.mp4\n" for index in range(40)))
    return tmp_path


def run(capfd: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, dict[str, Any]]:
    code = main([*map(str, arguments), "--json"])
    return code, json.loads(capfd.readouterr().out)


def test_score_prints_what_the_organisers_would_give(files, capfd):
    code, found = run(capfd, "score", files / "labels.json", files / "good.json", "--protocol", "av-deepfake1m")
    assert code == DONE
    assert found["ap"]["0.5"] == pytest.approx(1 - 1 / 30)  # 30 segments, all found first
    assert found["ar"]["100"] == pytest.approx(1.0, abs=0.1)
    assert found["score"] == pytest.approx(np.mean(list(found["ap"].values())) / 2 + found["ar"]["5"] / 2)
    assert found["slices"] == {}
    assert "intervals" not in found


def test_slices_intervals_and_decisions(files, capfd):
    options = ("--slices", "--bootstrap", 20, "--clip-scores", "best-proposal", "--cells", "--threshold", 0.5)
    code, found = run(capfd, "score", files / "labels.json", files / "good.json", "--protocol", "ddl-av", *options)
    assert code == DONE
    assert set(found["slices"]) == {"modality", "generator", "forged_length", "segment_length"}
    assert set(found["slices"]["modality"]) == {"audio", "visual", "audio and visual"}
    assert found["slices"]["generator"]["vits"]["counts"]["forged_clips"] == 20
    assert (found["auc"], found["decision"]["accuracy"], found["decision"]["chosen_on"]) == (1.0, 1.0, "given")
    assert found["cell_auc"] > 0.9
    assert {"ap_0.5", "ar_100", "auc", "score", "final"} <= set(found["intervals"]["fused"])
    assert found["final"] == pytest.approx((1 + found["score"]) / 2)
    code, one = run(
        capfd, "score", files / "labels.json", files / "good.json", "--protocol", "ddl-av", "--slice-by", "modality"
    )
    assert set(one["slices"]) == {"modality"}


def test_one_system_against_another(files, capfd):
    names = ("score", files / "labels.json", files / "good.json", "--protocol", "av-deepfake1m")
    code, found = run(capfd, *names, "--against", files / "worse.json", "--bootstrap", 100)
    assert code == DONE
    difference = found["against"]["differences"]["fused"]["ap_0.95"]
    assert difference["low"] > 0.1
    assert difference["p_value"] < 0.05
    assert difference["estimate"] == pytest.approx(
        found["ap_full"]["0.95"] - found["against"]["report"]["ap_full"]["0.95"]
    )
    main([*map(str, names), "--against", str(files / "worse.json"), "--bootstrap", "10"])
    shown = capfd.readouterr().out
    assert "good.json less worse.json" in shown
    assert "95 % interval" in shown


def test_policies_are_options(files, capfd):
    rows = json.loads((files / "good.json").read_text())
    del rows["000001.mp4"]
    rows["000002.mp4"] = [[0.1, 1.0, 1.6], [0.9, 3.0, 2.0]]
    (files / "faulty.json").write_text(json.dumps(rows))
    names = ("score", files / "labels.json", files / "faulty.json", "--protocol", "av-deepfake1m")
    code, found = run(capfd, *names)
    assert code == DONE
    assert len(found["warnings"]) == 3
    assert found["counts"]["clips"] == 40
    code, found = run(capfd, *names, "--missing", "leave-out", "--inverted", "leave-out", "--unsorted", "as-is")
    assert found["counts"]["clips"] == 39
    assert found["policy"] == {
        "missing": "leave-out", "unsorted": "as-is", "not_finite": "leave-out", "inverted": "leave-out"
    }  # fmt: skip
    for option in ("--missing", "--unsorted", "--inverted"):
        code, found = run(capfd, *names, option, "refuse")
        assert code == FAILED
        assert "choose another policy" in found["error"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--slice-by", "colour"), WRONG_USAGE, "no slicing 'colour'"),
        (("--threshold", "0.5", "--threshold-from", "dev"), WRONG_USAGE, "not both"),
        (("--threshold-from", "train"), FAILED, "no clip of split 'train'"),
        (("--clip-scores", "nowhere.txt"), FAILED, "cannot read predictions from nowhere.txt"),
        (("--also-predictions", "good.json"), FAILED, "40 clips are predicted in more than one"),
        (("--also-labels", "labels.json"), FAILED, "lists '000000.mp4' twice"),
    ],
)
def test_wrong_options_are_one_clear_message(files, capfd, options, code, message):
    got, found = run(capfd, "score", "labels.json", "good.json", "--protocol", "ddl-av", *options)
    assert got == code
    assert message in found["error"]


def test_a_submission_is_written_checked_and_broken(files, capfd):
    names = ("--predictions", files / "good.json", "--files", files, "--out", files / "sent")
    code, done = run(capfd, "submission", "write", "1m-deepfakes", *names)
    assert code == DONE
    assert [check["num_clips"] for check in done["checks"]] == [40, 40]
    sent = (files / "sent" / "prediction.txt", files / "sent" / "prediction.json")
    code, again = run(capfd, "submission", "check", "1m-deepfakes", *sent, "--files", files / "test_files.txt")
    assert (code, again["failed"]) == (DONE, False)
    code, wrong = run(capfd, "submission", "check", "ddl-av", sent[0])
    assert code == FAILED
    assert wrong["checks"][0]["fault_counts"] == {"separator": 40}
    broken = sent[1].read_text().replace("000007.mp4", "000006.mp4")
    (files / "broken.json").write_text(broken)
    assert main(["submission", "check", "ddl-av", "broken.json", "--files", "test_files.txt"]) == FAILED
    shown = capfd.readouterr().out
    assert "broken.json:8: '000006.mp4' listed before, in line 7" in shown
    assert "broken.json: '000007.mp4' is not in the file" in shown


def test_a_submission_needs_predictions_or_a_model(files, capfd):
    code, found = run(capfd, "submission", "write", "ddl-av")
    assert (code, found["error"]) == (WRONG_USAGE, "give either --predictions FILE or --model URI")
    code, found = run(capfd, "submission", "write", "ddl-av", "--model", "m")
    assert code == WRONG_USAGE
    assert "NAME and ROOT" in found["error"]
