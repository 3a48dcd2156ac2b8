"""The desk in a real browser, served by the command itself: upload, result, seek, comparison, correction, export."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from iamsb_core.datasets.registry import read_dataset
from iamsb_core.datasets.validation import validate
from iamsb_core.manifest import Modality

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("prefect")]
SECONDS, FPS, RATE = 2, 10, 16_000
NAME = "talk & <b>3 May #1.mp4"


def film(path: Path) -> bytes:
    """Two seconds of moving noise and a falling tone."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        picture = out.add_stream("libx264", rate=FPS)
        picture.width, picture.height, picture.pix_fmt = 96, 96, "yuv420p"
        sound = out.add_stream("aac", rate=RATE, layout="mono")
        for pixels in rng.integers(0, 256, (SECONDS * FPS, 96, 96, 3), dtype=np.uint8):
            out.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        out.mux(picture.encode())
        times = np.arange(SECONDS * RATE) / RATE
        wave = (8000 * np.sin(2 * np.pi * (900 - 200 * times) * times)).astype(np.int16)
        for first in range(0, len(wave), 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, first : first + 1024], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
            out.mux(sound.encode(frame))
        out.mux(sound.encode())
    return path.read_bytes()


def model_showing(untrained: Path, folder: Path, from_score: float) -> Path:
    """The untrained model as one that shows what scores so much."""
    shutil.copytree(untrained, folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"metrics": {"threshold_display": from_score}}))
    return folder


@pytest.fixture
def desk(untrained_model: Path, tmp_path: Path) -> Iterator[str]:
    """Address of a desk with a model that shows everything and one that shows nothing; closed by Ctrl-C."""
    models = [model_showing(untrained_model, tmp_path / f"shows-{name}", score) for name, score in
              (("everything", 0.0), ("nothing", 1.0))]  # fmt: skip
    command = [sys.executable, "-m", "flows.cli", "desk", "--port", "0", "--analyst", "Ada", "--device", "cpu"]
    command += [word for model in models for word in ("--model", str(model))]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = clean | {"IAMSB_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"}
    log = (tmp_path / "log").open("wb")
    with log, subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, cwd=tmp_path) as process:
        try:
            first = process.stdout.readline().decode()
            assert "http://127.0.0.1:" in first, (tmp_path / "log").read_text()
            yield next(word for word in first.split() if word.startswith("http")).rstrip("/")
        except BaseException:
            process.kill()
            raise
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, (tmp_path / "log").read_text()


@pytest.fixture
def page(browser: Any, desk: str) -> Iterator[Any]:
    """A page on the desk, which complains of nothing and asks nobody else."""
    complaints: list[str] = []
    asked: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 900}, base_url=desk)
    page.set_default_timeout(60_000)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    yield page
    assert complaints == []
    assert [url for url in asked if not url.startswith((desk, "data:", "blob:"))] == []
    page.close()


def wait_until(page: Any, condition: str, seconds: float = 30.0) -> None:
    """Ask until it is true; the pages' policy forbids playwright's own way, which is `eval`."""
    until = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < until, f"not within {seconds} s: {condition}"
        page.wait_for_timeout(50)


def refused(request: urllib.request.Request) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    with caught.value as answer:
        return answer.code


def test_from_a_file_to_evidence(page, desk: str, tmp_path: Path):
    upload_and_wait(page, film(tmp_path / "film.mp4"))
    address = page.locator("text=on a page of its own").first.get_attribute("href")
    report = page.request.get(address.replace("report.html", "report.json")).json()
    found = report["segments"]
    assert len(found["audio"]) >= 2
    assert len(found["visual"]) >= 2
    look(page, found)
    compare(page, found)
    truth = correct(page, found, report["media"]["duration_seconds"])
    export(page)
    come_back(page, found, (tmp_path / "film.mp4").read_bytes())
    page.goto("about:blank")
    video = dataset_video(tmp_path / "home" / "desk" / "corrections")
    for stream, modality in (("audio", Modality.AUDIO), ("visual", Modality.VISUAL)):
        np.testing.assert_allclose(video.truth(modality), truth[stream], atol=1e-9)
    assert refused(urllib.request.Request(f"{desk}/", headers={"Host": "evil.example"})) == 421
    assert refused(urllib.request.Request(f"{desk}/api/clips?name=a", data=b"x", method="POST")) == 403


def upload_and_wait(page: Any, media: bytes) -> None:
    page.goto("/")
    page.select_option("#other", index=2)
    page.set_input_files("#file", {"name": NAME, "mimeType": "video/mp4", "buffer": media})
    page.wait_for_url("**/clips/*")
    page.locator("[data-yours], [data-failed]").first.wait_for()
    assert page.locator("[data-failed]").all_inner_texts() == []
    page.locator("#examinations .verdict").nth(1).wait_for()
    assert page.locator("h1").inner_text() == NAME
    assert page.locator("#rows tr").count() > 0


def look(page: Any, found: dict) -> None:
    """The segments stand where the report says, and go where they are clicked or typed at; the report plays too."""
    lane = page.locator('.lane[data-stream="audio"]').first
    assert lane.locator(".segment").count() == len(found["audio"])
    wait_until(page, "document.getElementById('player').readyState >= 1")
    second = found["audio"][1]["start_seconds"]
    lane.locator(".segment").nth(1).focus()
    page.keyboard.press("Enter")
    wait_until(page, f"Math.abs(document.getElementById('player').currentTime - {second}) < 0.01")
    page.locator("#rows [data-seek]").nth(0).click()
    first = found["audio"][0]["start_seconds"]
    wait_until(page, f"Math.abs(document.getElementById('player').currentTime - {first}) < 0.01")
    page.locator("iframe").first.scroll_into_view_if_needed()
    inside = "document.querySelector('iframe').contentDocument.getElementById('player')"
    wait_until(page, f"{inside} !== null && {inside}.readyState >= 1")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    violations = axe.run(page, options={"resultTypes": ["violations"], "iframes": False}).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:120]) for one in violations] == []


def compare(page: Any, found: dict) -> None:
    """Beside a model that shows nothing, every segment is a difference."""
    assert page.locator("#with option:checked").inner_text().endswith("shows-nothing")
    assert page.locator("#differences tr.only-first").count() == len(found["audio"]) + len(found["visual"])
    assert page.locator("#differences tr").count() == 1 + len(found["audio"]) + len(found["visual"])
    assert page.locator('.lane[data-stream="audio"]').count() == 2


def correct(page: Any, found: dict, duration_seconds: float) -> dict[str, list[list[float]]]:
    """One wrong, one with other ends, the rest right, one added; what is true then."""
    num_audio = len(found["audio"])
    page.locator("#complete").check()
    page.locator("#save").click()
    assert "is not decided yet" in page.locator("#review-said").inner_text()
    page.locator("#row-1 [value=wrong]").focus()
    page.keyboard.press("Space")
    page.locator(f"#row-{num_audio + 1} [value=adjusted]").check()
    page.locator(f"#row-{num_audio + 1} .time").nth(0).fill("0.25")
    page.locator(f"#row-{num_audio + 1} .time").nth(1).fill("0.125")
    page.locator("#confirm-rest").click()
    page.locator("#save").click()
    assert "the start must come before the end" in page.locator("#review-said").inner_text()
    page.locator(f"#row-{num_audio + 1} .time").nth(1).fill("0.5")
    page.locator("#add").click()
    added = page.locator("#rows tr").last
    added.locator("select").select_option("visual")
    added.locator(".time").nth(0).fill("0.75")
    added.locator(".time").nth(1).fill("1")
    page.locator("#note").fill("<i>lips</i>")
    page.locator("#save").click()
    wait_until(page, "document.getElementById('review-said').textContent.startsWith('Saved')")
    assert "train split" in page.locator("#review-said").inner_text()
    end = {stream: [[each["start_seconds"], min(each["end_seconds"], duration_seconds)] for each in found[stream]]
           for stream in ("audio", "visual")}  # fmt: skip
    times = {"audio": end["audio"][1:], "visual": [*end["visual"][1:], [0.25, 0.5], [0.75, 1.0]]}
    assert page.locator("[data-yours=audio] .segment").count() == len(times["audio"])
    assert page.locator("[data-yours=visual] .segment").count() == len(times["visual"])
    return {stream: joined(segments) for stream, segments in times.items()}


def joined(segments: list[list[float]]) -> list[list[float]]:
    out: list[list[float]] = []
    for start, end in sorted(segments):
        if out and start <= out[-1][1]:
            out[-1][1] = max(out[-1][1], end)
        else:
            out.append([start, end])
    return out


def export(page: Any) -> None:
    with page.expect_download() as waiting:
        page.locator("#export-all").click()
    archive = zipfile.ZipFile(io.BytesIO(Path(waiting.value.path()).read_bytes()))
    assert {"report.json", "report.html", "report.srt", "report.eaf", "corrections.json", "manifest.jsonl"} < set(
        archive.namelist()
    )
    assert json.loads(archive.read("corrections.json"))[0]["note"] == "<i>lips</i>"


def come_back(page: Any, found: dict, media: bytes) -> None:
    """The correction is there when the file comes back, under another name and dropped on the page."""
    page.goto("/")
    assert "complete, Ada" in page.locator("tbody tr").first.inner_text()
    dropped = page.evaluate_handle(
        "text => { const held = new DataTransfer(); const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));"
        " held.items.add(new File([bytes], 'again.mp4')); return held; }",
        base64.b64encode(media).decode(),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    page.wait_for_url("**/clips/*")
    page.locator("#examinations li[data-model]").wait_for(state="detached")
    page.locator("#rows tr").first.wait_for()
    assert page.locator("h1").inner_text() == NAME
    assert "by Ada" in page.locator("#saved-before").inner_text()
    assert page.locator("#row-1 [value=wrong]").is_checked()
    assert page.locator("#row-2 [value=confirmed]").is_checked()
    assert page.locator(f"#row-{len(found['audio']) + 1} .time").nth(1).input_value() == "0.5"
    assert page.locator("#rows tr").count() == len(found["audio"]) + len(found["visual"]) + 1
    assert page.locator("#complete").is_checked()


def dataset_video(folder: Path) -> Any:
    manifest = read_dataset("generic", folder)
    validate(manifest).raise_for_errors()
    (video,) = manifest.split("train").videos
    assert (folder / video.path).is_file()
    return video
