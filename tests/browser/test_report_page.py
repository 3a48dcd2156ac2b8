"""The report page in a real browser: drawn where report.json says, usable by keyboard, silent on the network."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import runpy
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from iamsb_core.report import write_report

pytestmark = pytest.mark.browser
case = runpy.run_path(str(Path(__file__).parents[1] / "golden" / "report_case.py"))
make_clip, make_proposals, make_report = case["make_clip"], case["make_proposals"], case["make_report"]
ROWS = {"audio": [[0.4, 0.55, 0.7], [2.31, 2.94, 0.93]], "visual": [[2.5, 3.5, 0.88], [7.2, 8.0, 0.51]]}


@dataclasses.dataclass
class Opened:
    """A page and everything that it complained of or asked for."""

    page: object
    data: dict
    complaints: list[str]
    requests: list[str]
    media: set[str] = dataclasses.field(default_factory=set)
    """addresses of the examined file that the page may ask for"""
    expected: list[str] = dataclasses.field(default_factory=list)
    """complaints that are meant"""


@pytest.fixture
def open_report(browser, tmp_path):
    """Write a report, open its page, and check at the end that it was silent."""
    opened = []

    def open_(clip, width: int = 1280, *, embed_video: bool = False, scheme: str = "light", **changes) -> Opened:
        folder = tmp_path / "report"
        files = write_report(folder, make_report(clip, **changes), clip, embed_video=embed_video)
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        view = Opened(page, json.loads(files.json.read_text(encoding="utf-8")), [], [])
        page.on("console", lambda message: view.complaints.append(message.text))
        page.on("pageerror", lambda error: view.complaints.append(str(error)))
        page.on("request", lambda request: view.requests.append(request.url))
        page.goto(files.html.as_uri())
        opened.append(view)
        return view

    yield open_
    for view in opened:
        outside = {url for url in view.requests if not url.startswith(("data:", "blob:"))}
        assert view.complaints == view.expected
        assert all(url.startswith("file:") for url in outside)
        assert len(outside - view.media) == 1
        view.page.close()


def axis_positions(page) -> tuple[float, float]:
    """Pixels at 0 s, and pixels for each second, from two ticks of the drawn axis."""
    marks = page.locator(".tick").evaluate_all(
        "all => all.map(e => { const box = e.getBoundingClientRect();"
        " return [Number(e.dataset.seconds), box.x + box.width / 2]; })"
    )
    (t_0, x_0), (t_1, x_1) = marks[0], marks[-1]
    scale = (x_1 - x_0) / (t_1 - t_0)
    return x_0 - t_0 * scale, scale


def wait_until(page, condition: str, seconds: float = 10.0) -> None:
    """Ask until it is true; the page's security policy forbids playwright's own way, which is `eval`."""
    until = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < until, f"not within {seconds} s: {condition}"
        page.wait_for_timeout(20)


@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize("media", ["talk.mp4", case["HOSTILE_NAME"]], ids=["plain", "hostile"])
def test_each_segment_is_drawn_where_the_json_says(open_report, width, media):
    view = open_report(make_clip(), width, media=media, proposals=make_proposals(**ROWS))
    zero, scale = axis_positions(view.page)
    drawn = view.page.locator(".segment").evaluate_all(
        "all => all.map(e => { const box = e.getBoundingClientRect();"
        " return [e.dataset.stream, Number(e.dataset.start), Number(e.dataset.end), box.x, box.width]; })"
    )
    listed = [(name, each) for name, found in view.data["segments"].items() for each in found]
    assert len(drawn) == len(listed) == 7
    for (stream, start, end, x, pixels), (name, each) in zip(drawn, listed, strict=True):
        assert (stream, start, end) == (name, each["start_seconds"], each["end_seconds"])
        assert x == pytest.approx(zero + start * scale, abs=1)
        assert pixels == pytest.approx((end - start) * scale, abs=1)
    assert view.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_reaches_and_shows_a_segment(open_report):
    page = open_report(make_clip(), proposals=make_proposals(**ROWS)).page
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "mark-audio-1":
            break
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "mark-audio-2"
    assert page.locator(".segment[aria-pressed=true]").get_attribute("id") == "mark-audio-2"
    assert page.locator("tr.selected").get_attribute("id") == "row-audio-2"
    assert "2.31 s to 2.94 s, score 0.93" in page.locator("#spoken").inner_text()
    page.keyboard.press("Escape")
    assert page.locator(".selected").count() == 0


def test_a_row_of_the_table_shows_its_segment(open_report):
    page = open_report(make_clip(), proposals=make_proposals(**ROWS)).page
    page.set_viewport_size({"width": 1280, "height": 400})
    page.locator("#row-visual-1 .pick").focus()
    page.keyboard.press("Enter")
    wait_until(page, "document.getElementById('mark-visual-1').getBoundingClientRect().top >= 0")
    assert page.locator("rect.segment.selected").get_attribute("id") == "mark-visual-1"
    page.locator("#mark-fused-1").click()
    assert page.locator("tr.selected").get_attribute("id") == "row-fused-1"


@pytest.mark.parametrize(
    ("kinds", "examined"),
    [({"sound": False}, 2), ({"picture": False}, 2), ({"sound": False, "picture": False}, 0), ({}, 3)],
)
def test_a_missing_stream_is_said_not_drawn(open_report, kinds, examined):
    view = open_report(make_clip(**kinds), 420, proposals=make_proposals([], [], 0.02))
    assert view.page.locator(".plot").count() == examined
    assert view.page.locator(".lane-empty").count() == 3 - examined
    assert view.page.locator(".warnings li").count() == len(view.data["warnings"])
    assert "No segment reaches" in view.page.locator("#segments").inner_text()


def test_hundreds_of_segments_and_half_an_hour(open_report):
    starts = np.arange(300) * 6.0
    rows = np.stack([starts, starts + 0.2, np.full(300, 0.8)], axis=1)
    clip = make_clip(1800.0, picture=False)
    view = open_report(clip, proposals=make_proposals(rows, [], duration_seconds=1800.0))
    zero, scale = axis_positions(view.page)
    assert view.page.locator("#lane-audio .segment").count() == 300
    last = view.page.locator("#mark-audio-300").bounding_box()
    assert last["x"] == pytest.approx(zero + 1794 * scale, abs=1)
    marker = view.page.locator("#lane-audio .marker").last.evaluate("e => getComputedStyle(e).strokeWidth")
    assert marker == "3px"


def test_paper_shows_everything_and_no_controls(open_report):
    view = open_report(make_clip(), proposals=make_proposals(**ROWS))
    view.page.locator("#mark-audio-1").click()
    view.page.emulate_media(media="print", color_scheme="dark")
    assert not view.page.locator("#player-choice").is_visible()
    assert not view.page.locator("#stage").is_visible()
    assert view.page.locator("#row-fused-3").is_visible()
    background = view.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"


def test_the_printed_pages_are_few_and_can_be_read(open_report):
    pypdf = pytest.importorskip("pypdf")
    name = "talk of 3 May.mp4"
    view = open_report(make_clip(), proposals=make_proposals(**ROWS), media=name)
    pdf = pypdf.PdfReader(io.BytesIO(view.page.pdf(prefer_css_page_size=True)))
    pages = [" ".join(page.extract_text().split()) for page in pdf.pages]
    assert 2 <= len(pages) <= 4
    assert "FORGED" in pages[0]
    assert name in pages[0]
    assert "Time line" in pages[0]  # the verdict and what it looks like stand on the first page
    whole = " ".join(pages)
    for wanted in ("2.31 s", "2.25 to 2.37 s", "ab" * 32, "How far the numbers can be trusted", "iamsb localize"):
        assert wanted in whole
    for control in ("Play another copy", "Next segment", "Skip to the table"):
        assert control not in whole
    assert [round(float(side)) for side in pdf.pages[0].mediabox[2:]] == [595, 842]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_accessibility_checker_finds_nothing(open_report, scheme, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    media = tmp_path / "talk.wav"
    media.write_bytes(wave_file(8.0))
    view = open_report(make_clip(), scheme=scheme, media=media, proposals=make_proposals(**ROWS))
    view.media = {media.as_uri()}
    found = axe.run(view.page, options={"resultTypes": ["violations"]}).response
    assert [(one["id"], one["nodes"][0]["html"][:120]) for one in found["violations"]] == []


def test_every_control_can_be_reached_and_named(open_report, tmp_path):
    media = tmp_path / "talk.wav"
    media.write_bytes(wave_file(8.0))
    view = open_report(make_clip(), media=media, proposals=make_proposals(**ROWS))
    view.media = {media.as_uri()}
    reached = []
    for _ in range(60):
        view.page.keyboard.press("Tab")
        reached.append(
            view.page.evaluate("[document.activeElement.id, document.activeElement.className.baseVal ?? '']")
        )
    ids = [one[0] for one in reached]
    order = [
        "player-file",
        "player",
        "previous-segment",
        "next-segment",
        "mark-audio-1",
        "mark-visual-1",
        "mark-fused-1",
    ]
    places = [ids.index(name) for name in order]
    assert places == sorted(places)
    snapshot = view.page.locator("body").aria_snapshot()
    for wanted in (
        'button "Sound: forged from 2.31 s to 2.94 s, score 0.93, probability 87%"',
        'img "Spectrogram of the sound, 0 to 8 kHz from bottom to top"',
        'columnheader "Probability"',
        'heading "Segments"',
    ):
        assert wanted in snapshot


def test_whiskers_stand_where_the_json_says(open_report):
    view = open_report(make_clip(), proposals=make_proposals(**ROWS))
    zero, scale = axis_positions(view.page)
    drawn = view.page.locator("#lane-audio .whisker").evaluate_all(
        "all => all.map(e => { const box = e.getBoundingClientRect(); return [box.x, box.x + box.width, box.height]; })"
    )
    spans = [one[:2] for one in drawn if one[2] < 1]
    listed = [each[f"{end}_interval_seconds"] for each in view.data["segments"]["audio"] for end in ("start", "end")]
    assert len(spans) == len(listed) == 4
    for (left, right), (low, high) in zip(spans, listed, strict=True):
        assert left == pytest.approx(zero + low * scale, abs=1)
        assert right == pytest.approx(zero + high * scale, abs=1)
    assert view.page.locator("#lane-visual .whisker").count() == 0  # its dev split had too few segments


def wave_file(seconds: float) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(b"\0\0" * round(8000 * seconds))
    return buffer.getvalue()


def test_the_examined_file_plays_beside_the_time_line(open_report):
    media = wave_file(8.0)
    clip = make_clip(picture=False, sha256=hashlib.sha256(media).hexdigest(), size_bytes=len(media))
    page = open_report(clip, proposals=make_proposals(**ROWS)).page
    page.set_input_files("#player-file", {"name": "talk.wav", "mimeType": "audio/wav", "buffer": media})
    wait_until(page, "document.getElementById('player').readyState >= 1")
    wait_until(page, "document.getElementById('player-note').textContent.endsWith('agrees.')")
    page.locator("#mark-audio-2").focus()
    page.keyboard.press("Enter")
    wait_until(page, "Math.abs(document.getElementById('player').currentTime - 2.31) < 0.01")
    wait_until(page, "Math.abs(parseFloat(document.querySelector('.playhead').getAttribute('x1')) - 28.875) < 0.2")


@pytest.mark.parametrize(("same_size", "said"), [(True, "its SHA-256 differs"), (False, "its size differs")])
def test_another_file_is_called_another(open_report, same_size, said):
    media = wave_file(1.0)
    page = open_report(make_clip(picture=False, size_bytes=len(media) if same_size else 5)).page
    page.set_input_files("#player-file", {"name": "other.wav", "mimeType": "audio/wav", "buffer": media})
    wait_until(page, f"document.getElementById('player-note').textContent.includes('{said}')")


def test_a_file_that_no_browser_plays_leaves_the_time_line(open_report):
    media = b"no film at all"
    page = open_report(make_clip(picture=False, size_bytes=5), proposals=make_proposals(**ROWS)).page
    page.set_input_files("#player-file", {"name": "talk.bin", "mimeType": "video/mp4", "buffer": media})
    wait_until(page, "document.getElementById('player-note').textContent.includes('cannot play it')")
    assert not page.locator("#stage").is_visible()
    page.locator("#mark-audio-1").click()
    assert page.locator("tr.selected").get_attribute("id") == "row-audio-1"


def test_the_file_plays_from_where_it_was_examined(open_report, tmp_path):
    media = tmp_path / 'a "b"#c%41?: d\u00eda.wav'
    media.write_bytes(wave_file(8.0))
    view = open_report(make_clip(picture=False), media=media, proposals=make_proposals(**ROWS))
    view.media = {media.as_uri()}
    page = view.page
    wait_until(page, "document.getElementById('player').readyState >= 1")
    page.locator("#mark-audio-2").click()
    wait_until(page, "Math.abs(document.getElementById('player').currentTime - 2.31) < 0.01")
    assert page.locator("#now-time").inner_text() == "2.31 s"
    assert "Sound: forged from 2.31 s to 2.94 s" in page.locator("#now-segments").inner_text()
    page.locator("#next-segment").click()
    wait_until(page, "Math.abs(document.getElementById('player').currentTime - 7.2) < 0.01")
    page.locator("#row-audio-1 .pick").click()
    wait_until(page, "Math.abs(document.getElementById('player').currentTime - 0.4) < 0.01")
    cues = page.evaluate("[...document.getElementById('player').textTracks[0].cues].map(cue => cue.startTime)")
    listed = [each["start_seconds"] for found in view.data["segments"].values() for each in found]
    assert cues == pytest.approx(sorted(listed))


def test_an_embedded_file_plays_without_the_file(open_report, tmp_path):
    media = tmp_path / "talk.wav"
    media.write_bytes(wave_file(8.0))
    view = open_report(make_clip(picture=False), media=media, embed_video=True, proposals=make_proposals(**ROWS))
    media.unlink()
    view.page.reload()
    wait_until(view.page, "document.getElementById('player').readyState >= 1")
    view.page.locator("#mark-audio-2").click()
    wait_until(view.page, "Math.abs(document.getElementById('player').currentTime - 2.31) < 0.01")


def test_a_file_that_is_gone_leaves_a_page_that_works(open_report, tmp_path):
    media = tmp_path / "talk.wav"
    media.write_bytes(wave_file(8.0))
    view = open_report(make_clip(picture=False), media=media, proposals=make_proposals(**ROWS))
    view.media = {media.as_uri()}
    media.unlink()
    view.complaints.clear()
    view.page.reload()
    wait_until(view.page, "document.getElementById('player-note').textContent.includes('is not where it was')")
    assert not view.page.locator("#stage").is_visible()
    view.page.locator("#mark-audio-1").click()
    assert view.page.locator("tr.selected").get_attribute("id") == "row-audio-1"
    copy = {"name": "copy.wav", "mimeType": "audio/wav", "buffer": wave_file(8.0)}
    view.page.set_input_files("#player-file", copy)
    wait_until(view.page, "document.getElementById('player').readyState >= 1")
    assert view.page.locator("#stage").is_visible()
    assert all("ERR_FILE_NOT_FOUND" in said for said in view.complaints)
    view.expected = list(view.complaints)
