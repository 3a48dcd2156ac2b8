"""`iamsb watch` as it is used: a process at one end of a pipe or at a growing file, another one that writes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from flows.cli import main
from iamsb_core.training.validation import DISPLAY_THRESHOLD

COMMAND = [sys.executable, "-m", "flows.cli", "watch"]
WRITER = """
import sys, time
source, target, piece, pause = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
with open(source, "rb") as file, (sys.stdout.buffer if target == "-" else open(target, "ab")) as out:
    while data := file.read(piece):
        out.write(data)
        out.flush()
        time.sleep(pause)
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine seconds of MPEG-TS: flat pictures, and a tone in MP2."""
    path = tmp_path_factory.mktemp("recording") / "camera.ts"
    with av.open(str(path), "w", format="mpegts") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("mp2", rate=48000, layout="mono")
        tone = (8000 * np.sin(np.arange(9 * 48000) * 0.05)).astype(np.int16)
        made = 0
        for index in range(225):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index, np.uint8), format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
            while made + 1152 <= (index + 1) * 1920:
                heard = av.AudioFrame.from_ndarray(tone[None, made : made + 1152], format="s16", layout="mono")
                heard.sample_rate, heard.pts = 48000, made
                container.mux(audio.encode(heard))
                made += 1152
        for stream in (video, audio):
            container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def talkative_model(untrained_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shows every proposal that no better one covers."""
    folder = tmp_path_factory.mktemp("talkative") / "model"
    shutil.copytree(untrained_model, folder)
    card = json.loads((folder / "card.json").read_text())
    card["metrics"] = {DISPLAY_THRESHOLD: 0.0}
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def objects(text: str) -> tuple[list[dict], dict]:
    """The segments, and the last line."""
    *segments, end = map(json.loads, text.splitlines())
    assert all(each["event"] == "segment" for each in segments)
    assert end["event"] == "end"
    return segments, end


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "IAMSB_HOME": str(home)}


def test_a_pipe_is_watched_to_its_end(recording: Path, talkative_model: Path, tmp_path: Path):
    writing = [sys.executable, "-c", WRITER, str(recording), "-", "20000", "0.01"]
    with subprocess.Popen(writing, stdout=subprocess.PIPE) as writer:
        watcher = subprocess.run(
            [*COMMAND, "-", "--model", talkative_model, "--json"],
            stdin=writer.stdout,
            capture_output=True,
            text=True,
            check=False,
            env=environment(tmp_path),
        )
    assert writer.returncode == 0
    assert watcher.returncode == 0, watcher.stderr
    segments, end = objects(watcher.stdout)
    assert end["state"] == "done"
    assert end["duration_seconds"] == pytest.approx(9.0, abs=0.1)
    assert {each["stream"] for each in segments} == {"audio", "visual", "fused"}
    assert end["segments"]["audio"] == sum(each["stream"] == "audio" for each in segments)
    assert all(0.0 <= each["start_seconds"] < each["end_seconds"] <= 9.1 for each in segments)


def test_ctrl_c_ends_a_growing_file_with_what_was_found(recording: Path, talkative_model: Path, tmp_path: Path):
    growing = tmp_path / "growing.ts"
    growing.touch()
    with subprocess.Popen([sys.executable, "-c", WRITER, recording, growing, "20000", "0.01"]) as writer:
        watcher = subprocess.Popen(
            [*COMMAND, str(growing), "--model", talkative_model, "--json", "--idle-seconds", "120"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(tmp_path),
        )
        assert watcher.stdout is not None
        first = watcher.stdout.readline()  # a segment settled while the file may still grow
        writer.wait()
    time.sleep(0.5)
    watcher.send_signal(signal.SIGINT)
    with watcher.stdout as stdout:
        rest = stdout.read()  # by the same reader, which may hold more lines than the first already
    assert watcher.wait(timeout=60) == 0
    segments, end = objects(first + rest)
    assert end["state"] == "interrupted"
    assert end["duration_seconds"] > 2.0
    assert len(segments) == sum(end["segments"].values())


def test_what_cannot_be_watched_is_one_line(
    talkative_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("IAMSB_HOME", str(tmp_path))

    def error(code: int, *arguments: str) -> str:
        assert main(["watch", str(tmp_path / "none.ts"), "--model", str(talkative_model), "--json", *arguments]) == code
        (line,) = capfd.readouterr().out.splitlines()
        return json.loads(line)["error"]

    assert "allow 2 s or more" in error(2, "--delay-seconds", "0.5")
    assert "start its writer first" in error(1)
