"""The report's files: a page that stands alone, subtitles that any player reads, all or nothing on disk."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import runpy
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.media.clip import FrameView
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.report import write as write_module
from iamsb_core.report import write_report
from iamsb_core.report.drawing import curve_path, envelope, envelope_path, thumbnails, ticks
from iamsb_core.report.evidence import ScoreCurve
from iamsb_core.report.evidence_tables import evidence_tables
from iamsb_core.report.exports import export
from iamsb_core.report.html import render_html

case = runpy.run_path(str(Path(__file__).parents[1] / "golden" / "report_case.py"))
make_clip, make_proposals, make_report = case["make_clip"], case["make_proposals"], case["make_report"]
CUE_TIMES = re.compile(r"(\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3}) --> (\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3})")
BOTH = {"audio": [[2.31, 2.94, 0.93], [5, 5.5, 0.6]], "visual": [[2.5, 3.5, 0.88]]}


def read_webvtt(text: str) -> list[tuple[str, float, float, str]]:
    """Blocks of a WebVTT file (https://www.w3.org/TR/webvtt1/#file-parsing) as (id, start, end, text)."""
    head, *blocks = text.split("\n\n")
    assert head == "WEBVTT"
    cues = []
    for block in blocks:
        lines = block.strip("\n").split("\n")
        if lines[0].startswith("NOTE"):
            assert "-->" not in block
            continue
        found = CUE_TIMES.fullmatch(lines[1])
        assert found, lines
        h, m, s, ms, *last = map(int, found.groups())
        end = last[0] * 3600 + last[1] * 60 + last[2] + last[3] / 1000
        cues.append((lines[0], h * 3600 + m * 60 + s + ms / 1000, end, "\n".join(lines[2:])))
    return cues


def test_subtitles_hold_every_shown_segment():
    report = make_report(proposals=make_proposals(**BOTH))
    cues = read_webvtt(export(report, "vtt"))
    assert [(cue[0], cue[3]) for cue in cues] == [
        ("audio-1", "forged sound 0.93"),
        ("fused-1", "fused: forged sound and picture 0.93"),
        ("visual-1", "forged picture 0.88"),
        ("audio-2", "forged sound 0.60"),
        ("fused-2", "fused: forged sound 0.60"),
    ]
    assert cues[2][1:3] == (2.5, 3.5)
    assert [cue[1] for cue in cues] == sorted(cue[1] for cue in cues)


def test_subtitles_of_an_hour_a_blink_and_a_hostile_name():
    rows = [[3725.5, 3725.5003, 0.9]]
    clip = make_clip(3800.0, picture=False)
    report = make_report(clip, make_proposals(rows, [], duration_seconds=3800.0), media=case["HOSTILE_NAME"])
    first, second = read_webvtt(export(report, "vtt"))
    assert first == ("audio-1", 3725.5, pytest.approx(3725.501), "forged sound 0.90")
    assert second[0] == "fused-1"


class Reader(HTMLParser):
    """Tags, their attributes, and whether every element is closed."""

    VOID = frozenset({"meta", "link", "input", "br", "img", "track", "source"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.scripts = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts += data

    def values(self, *names: str) -> list[str]:
        return [str(attrs[name]) for _, attrs in self.seen for name in names if name in attrs]


PAGES = {
    "plain": lambda: (make_clip(), {}),
    "both": lambda: (make_clip(), {"proposals": make_proposals(**BOTH)}),
    "no sound": lambda: (make_clip(sound=False), {}),
    "no picture": lambda: (make_clip(picture=False), {}),
    "neither": lambda: (make_clip(sound=False, picture=False), {}),
    "nothing found": lambda: (make_clip(), {"proposals": make_proposals([], [], 0.1)}),
    "hostile": lambda: (make_clip(), {"media": case["HOSTILE_NAME"], "warnings": ["<img src=x onerror=alert(1)>"]}),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_well_formed_and_stands_alone(name):
    clip, changes = PAGES[name]()
    page = Reader(render_html(make_report(clip, **changes), clip))
    assert page.open == []
    tags = [tag for tag, _ in page.seen]
    assert tags.count("script") == tags.count("h1") == 1
    assert "img" not in tags
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert set(page.values("aria-labelledby", "aria-describedby", "for")) <= set(ids)
    for address in page.values("href", "src", "xlink:href"):
        assert address.startswith("data:") or address.removeprefix("#") in ids
    assert not any(attribute.startswith("on") for _, attrs in page.seen for attribute in attrs)
    policy = next(attrs["content"] for _, attrs in page.seen if attrs.get("http-equiv"))
    assert base64.b64encode(hashlib.sha256(page.scripts.encode()).digest()).decode() in policy


def test_the_page_draws_each_segment_with_its_numbers():
    report = make_report(proposals=make_proposals(**BOTH))
    drawn = [
        (attrs["data-stream"], float(attrs["data-start"]), float(attrs["data-end"]), float(attrs["data-score"]))
        for tag, attrs in Reader(render_html(report, make_clip())).seen
        if "data-stream" in attrs and tag == "rect"
    ]
    listed = [
        (name, each.start_seconds, each.end_seconds, each.score)
        for name, lane in report.lanes.items()
        for each in lane.segments
    ]
    assert drawn == listed
    assert len(drawn) == 5


def test_half_an_hour_stays_a_small_page():
    clip = make_clip(1800.0, picture=False)
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 1790, 600)
    rows = np.stack([starts, starts + rng.uniform(0.2, 3, 600), rng.uniform(0, 1, 600)], axis=1)
    report = make_report(clip, make_proposals(rows, [], duration_seconds=1800.0))
    assert len(report.lanes["audio"].segments) > 100
    assert len(render_html(report, clip)) < 1_000_000


def test_the_envelope_by_hand_and_of_nothing():
    waveform = np.array([0, 1, -1, 0.5, 0.25, 0.1], dtype=np.float32)
    assert envelope(waveform, 3).tolist() == [[0, -1, pytest.approx(0.1)], [1, 0.5, 0.25]]
    assert envelope_path(np.zeros(0, dtype=np.float32)) == envelope_path(np.zeros(1, dtype=np.float32))


@given(st.integers(1, 5000), st.integers(1, 900))
@settings(deadline=None, max_examples=40)
def test_the_envelope_keeps_the_extremes(length, num_bins):
    waveform = np.random.default_rng(length).uniform(-1, 1, length).astype(np.float32)
    low, high = envelope(waveform, num_bins)
    assert len(low) == len(high) == min(num_bins, length)
    assert (low.min(), high.max()) == (waveform.min(), waveform.max())


def test_the_curve_by_hand():
    # two cells of 1 s, scores 0.5 and 0, over a clip of 2 s
    assert curve_path(ScoreCurve(hop_seconds=1.0, scores=(0.5, 0.0)), 2.0) == "M0 100V50.0H500.00V100.0H1000.00V100Z"


def test_the_axis_by_hand():
    assert [(tick.seconds, tick.percent, tick.label) for tick in ticks(4.0)][:3] == [
        (0, 0, "0.0 s"),
        (0.5, 12.5, "0.5 s"),
        (1.0, 25.0, "1.0 s"),
    ]
    assert [tick.label for tick in ticks(1800.0)] == ["0:00", "5:00", "10:00", "15:00", "20:00", "25:00", "30:00"]
    assert ticks(7200.0)[-1].label == "2:00:00"


@given(st.floats(0.02, 200_000))
@settings(deadline=None, max_examples=60)
def test_the_axis_has_few_marks_inside_the_clip(duration_seconds):
    marks = ticks(duration_seconds)
    assert 2 <= len(marks) <= 11
    assert marks[-1].percent <= 100.0001
    assert len({mark.label for mark in marks}) == len(marks)


def test_thumbnails_stay_small_even_of_noise():
    frames = np.random.default_rng(0).integers(0, 256, (300, 224, 224, 3), dtype=np.uint8)
    assert sum(map(len, thumbnails(frames))) < 300_000
    assert len(thumbnails(frames[:3])) == len(thumbnails(frames)) > 10


def test_files_are_written_whole_and_replaced(tmp_path):
    first = write_report(tmp_path / "new" / "día", make_report(), make_clip())
    second = write_report(first.json.parent, make_report(media="映画.mp4"), make_clip())
    assert first == second
    names = ["report.html", "report.jpg", "report.json", "report.vtt"]
    assert sorted(path.name for path in first.json.parent.iterdir()) == names
    assert json.loads(second.json.read_text(encoding="utf-8"))["media"]["name"] == "映画.mp4"
    assert "映画.mp4" in second.html.read_text(encoding="utf-8")
    assert read_webvtt(second.vtt.read_text(encoding="utf-8"))


def test_a_failed_write_leaves_the_earlier_report(tmp_path, monkeypatch):
    files = write_report(tmp_path, make_report(), make_clip())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    synced = []

    def full_disk(handle):
        synced.append(handle)
        if len(synced) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(write_module.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_report(tmp_path, dataclasses.replace(make_report(), command=("other",)), make_clip())
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert files.json in before


def test_evidence_becomes_tables():
    queries = [{"segment": [2.31, 2.94], "score": 0.9, "witnesses": [{"segment": [2.4, 3.0], "weight": 0.41}] * 5}]
    evidence = {
        "step_budget": {"audio": 8, "visual": 4},
        "step_budget_target": 12,
        "control_energy": {"audio": {"coarse": 0.02131, "refinement": 0.5}, "visual": {"coarse": 0.3}},
        "steps_to_reach": {"audio": None, "visual": 2},
        "coupling": {"matched_mass": 0.9, "rows": [1, 2, 3, 4, 5, 6, 7]},
        "witnesses": {"audio": queries, "visual": []},
    }
    found = {table.title: table.rows for table in evidence_tables(evidence)}
    assert found["Evidence by stream"] == (
        ("Step budget", "8", "4"),
        ("Control energy, coarse", "0.02131", "0.3"),
        ("Control energy, refinement", "0.5", ""),
        ("Steps to reach", "not known", "2"),
    )
    assert found["Evidence"] == (
        ("Step budget target", "12"),
        ("Coupling, matched mass", "0.9"),
        ("Coupling, rows", "7 entries, in report.json"),
    )
    leaned = ", ".join(["picture 2.40 to 3.00 s (41%)"] * 3)
    assert found["Witnesses"] == (("Sound 2.31 to 2.94 s", "0.90", leaned),)
    assert found["Windows"] == ()


def test_evidence_of_windows_becomes_one_table():
    inner = {"step_budget": {"audio": 8, "visual": 4}, "present": {"audio": True, "visual": True}}
    windows = [
        {"start_seconds": 10.0 * i, "end_seconds": 10.0 * i + 12, "clip_score": 0.5, "evidence": inner}
        for i in range(70)
    ]
    rows = {table.title: table.rows for table in evidence_tables({"windows": windows})}["Windows"]
    assert rows[0] == ("0.00 to 12.00 s", "0.50", "step budget 8", "step budget 4")
    assert rows[-1] == ("10 more", "", "", "in report.json")
    assert len(rows) == 61


ODD = [
    {"witnesses": {"audio": [{}]}},
    {"witnesses": [1]},
    {"witnesses": {"audio": 3}},
    {"windows": [{}]},
    {"windows": [1]},
]


@pytest.mark.parametrize("odd", [*ODD, {"windows": 3}, {"anything": "else"}])
def test_evidence_of_another_shape_is_still_listed(odd):
    assert sum(len(table.rows) for table in evidence_tables(odd)) == 1


@pytest.mark.media
def test_real_files_without_sound_or_picture(media_folder, tmp_path):
    names = {
        "fps60_no_audio.mov": "no sound",
        "audio_only_mov_pcm.mov": "no picture",
        "silent_track_480p.mp4": "silent",
    }
    with MediaDecoder() as decoder:
        clips = {name: decoder.decode(media_folder / "nasty" / name, FrameView(), True) for name in names}
    for name, clip in clips.items():
        found = make_proposals(duration_seconds=clip.duration_seconds)
        files = write_report(tmp_path / name, make_report(clip, found, media=name), clip)
        data = json.loads(files.json.read_text(encoding="utf-8"))
        assert names[name] in " ".join(data["warnings"])
        assert (data["curves"]["audio"] is None) == (clip.waveform is None)
        assert (data["curves"]["visual"] is None) == (clip.frames is None)
        assert Reader(files.html.read_text(encoding="utf-8")).open == []
