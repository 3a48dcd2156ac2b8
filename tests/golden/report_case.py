"""A made-up clip and what a system said of it: the case that the report's tests share.

Run as a program it writes the golden files again: `python tests/golden/report_case.py`.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.localization.proposals import ClipProposals, sorted_proposals
from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodedClip, FrameView, MediaProbe
from iamsb_core.metrics.calibration import BoundaryIntervals, Calibration, LaneCalibration, ScoreMap
from iamsb_core.metrics.operating_point import FalseAlarms, Misses
from iamsb_core.report import EncoderFacts, ModelFacts, Report, build_report
from iamsb_core.report.exports import export
from iamsb_core.report.write import report_json
from iamsb_core.timeline import TimeGrid

AUDIO = [[2.31, 2.94, 0.93], [2.3, 2.9, 0.7], [0.5, 1.5, 0.12]]
VISUAL = [[4.0, 6.0, 0.21], [5.0, 5.5, 0.08]]
EVIDENCE = {
    "cells": {"audio": {"hop_seconds": 1.0, "scores": [0.05, 0.1, 0.9, 0.3, 0.05, 0.05, 0.05, 0.05]}},
    "matches": [{"audio": {"segment": [2.3, 2.9]}, "visual": {"segment": [4.0, 6.0]}, "mass": 0.7, "residual": 1.5}],
    "num_steps": {"audio": 8, "visual": 4},
    "num_queries": {"audio": 66, "visual": 34},
    "coupling": {"matched_mass": 0.9, "entropy": float("nan")},
}
HOSTILE_NAME = 'día "><script>alert(1)<img src=x onerror=alert(2)>\u202e --> \n& {{ 7 * 7 }} 映画.mp4'


def make_clip(
    duration_seconds: float = 8.0, *, sound: bool = True, picture: bool = True, **probed: object
) -> DecodedClip:
    """A tone that beeps and a picture that scrolls; `probed` changes what the container says."""
    grid = TimeGrid.covering(duration_seconds, 0.04)
    t = np.arange(8 * SAMPLE_RATE_HZ, dtype=np.float32) / SAMPLE_RATE_HZ
    hiss = np.random.default_rng(0).normal(0.0, 0.01, len(t)).astype(np.float32)
    beeps = np.sin(2 * np.pi * 220 * t) * (0.2 + 0.1 * np.sin(9 * t)) + hiss
    ramp = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) * 4
    scroll = np.stack([np.roll(ramp, roll, axis=1) for roll in range(32)])[..., None].repeat(3, axis=3)
    probe = MediaProbe(
        sha256="ab" * 32,
        size_bytes=123_456,
        duration_seconds=duration_seconds,
        container="mov,mp4",
        num_video_streams=int(picture),
        num_audio_streams=int(sound),
        video_codec="h264" if picture else None,
        width=320,
        height=240,
        rotation_degrees=0,
        num_video_frames=grid.num_cells if picture else 0,
        average_fps=25.0,
        variable_frame_rate=False,
        video_start_seconds=0.0,
        audio_codec="aac" if sound else None,
        sample_rate_hz=44_100,
        num_channels=2,
        audio_start_seconds=0.0,
    )
    return DecodedClip(
        probe=dataclasses.replace(probe, **probed),
        duration_seconds=duration_seconds,
        waveform=np.resize(beeps, round(duration_seconds * SAMPLE_RATE_HZ)) if sound else None,
        frames=scroll[np.arange(grid.num_cells) % 32] if picture else None,
        frame_boxes=None,
        face_found=np.ones(grid.num_cells, dtype=np.bool_) if picture else None,
        frame_grid=grid if picture else None,
        reader="decord" if picture else "none",
    )


def make_proposals(
    audio=AUDIO, visual=VISUAL, clip_score: float = 0.93, duration_seconds: float = 8.0
) -> ClipProposals:
    """What a system says; the fused list is the union."""
    streams = [np.asarray(rows, dtype=np.float64).reshape(-1, 3) for rows in (audio, visual)]
    lists = [sorted_proposals(rows) for rows in (*streams, np.concatenate(streams))]
    return ClipProposals("clip", duration_seconds, *lists, clip_score, EVIDENCE)


def make_calibration(genuine_hours: float = 40.0, highest: float = 0.6) -> Calibration:
    """What a dev split said: Platt's map for the sound, too few segments in the picture, 500 genuine clips."""
    platt = ScoreMap(
        method="platt", num_cases=400, num_true=120, ece_before=0.12, ece_after=0.03, slope=0.8, intercept=-0.2
    )
    known = BoundaryIntervals(level=0.9, num_segments=57, coverage=53 / 58, start_seconds=0.06, end_seconds=0.11)
    unknown = BoundaryIntervals(level=0.9, num_segments=3, coverage=None, start_seconds=None, end_seconds=None)
    sound = LaneCalibration(score_map=platt, boundaries=known)
    genuine = np.linspace(0.0, highest, 500)
    return Calibration(
        audio=sound,
        visual=LaneCalibration(score_map=None, boundaries=unknown),
        fused=sound,
        clip=platt,
        false_alarms=FalseAlarms.of(genuine, genuine_hours),
        misses=Misses.of(np.linspace(0.3, 1.0, 200)),
    )


def make_report(clip: DecodedClip | None = None, proposals: ClipProposals | None = None, **changes: object) -> Report:
    """The report on the case, made at a fixed time with fixed versions; `changes` go to `build_report`."""
    asked = {
        "media": "talk.mp4",
        "clip": make_clip() if clip is None else clip,
        "proposals": make_proposals() if proposals is None else proposals,
        "model": ModelFacts(uri="runs:/1/model", digest="cd" * 32, system="iamsb", config_digest="ef" * 32),
        "encoders": EncoderFacts(
            audio=EncoderSpec(name="handcrafted-audio"),
            visual=EncoderSpec(name="handcrafted-video", view=FrameView()),
            device="cpu",
        ),
        "calibration": make_calibration(),
        "command": ["iamsb", "localize", "talk.mp4"],
        "created": datetime(2026, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=1), "CET")),
    }
    report = build_report(**{**asked, **changes})
    return dataclasses.replace(report, versions={"python": "3.11.7", "iamsb": "0.1.0", "decord": None})


if __name__ == "__main__":
    folder = Path(__file__).parent
    (folder / "report.json").write_text(report_json(make_report()), encoding="utf-8")
    (folder / "report.vtt").write_text(export(make_report(), "vtt"), encoding="utf-8")
