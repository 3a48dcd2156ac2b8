"""The model card: every number in it comes from a record, whichever parts a model lacks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iamsb_core.configuration import parse
from iamsb_core.digest import plain
from iamsb_core.encoders.base import EncoderSpec, Streams, StreamSpec
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Forgery, Manifest, Modality, VideoRecord
from iamsb_core.media.clip import FrameView
from iamsb_core.report.model_card import MOST_CHARACTERS, write_model_card
from iamsb_core.report.model_card_words import ModelDescription
from iamsb_core.report.model_figures import ModelFigures, figures, training_data
from iamsb_core.timeline import Segment

NOTHING = np.empty((0, 3))


def video(number: int, *, split: str, forged: bool) -> VideoRecord:
    forgeries = (Forgery(Segment(1.0, 2.0), Modality.AUDIO),) if forged else ()
    name = f"{split}/{number}.mp4"
    return VideoRecord(video_id=name, path=Path(name), split=split, duration_seconds=36.0, forgeries=forgeries)


def said(video_id: str, *, found: bool) -> ClipProposals:
    one = np.array([[1.0, 2.0, 0.9]]) if found else NOTHING
    return ClipProposals(
        video_id=video_id, duration_seconds=36.0, audio=one, visual=NOTHING, fused=one, clip_score=0.9 if found else 0.1
    )


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    videos = [video(n, split=split, forged=n % 2 == 0) for split in ("train", "dev", "test") for n in range(10)]
    return Manifest(name="made|up", root=Path("nowhere"), videos=tuple(videos))


@pytest.fixture(scope="module")
def measured(manifest: Manifest) -> ModelFigures:
    """Four of the five forged clips are found."""
    test = manifest.split("test")
    found = {v.video_id: said(v.video_id, found=v.is_forged and "/8" not in v.video_id) for v in test.videos}
    return figures(test, found, "lavdf", dataset="made|up", split="test", sha256="ab" * 32, date="2026-11-20")


@pytest.fixture
def model() -> ModelDescription:
    stream = StreamSpec(encoder_identity="x", dim=8, hop_seconds=0.04)
    return ModelDescription(
        uri="models:/iamsb/3",
        sha256="cd" * 32,
        run_id="run7",
        system="iamsb",
        system_config={"dim": 32},
        streams=Streams(audio=replace(stream, fine_dim=4, fine_hop_seconds=0.01), visual=stream),
        audio=EncoderSpec(name="handcrafted-audio"),
        visual=EncoderSpec(name="handcrafted-video", view=FrameView()),
        window_seconds=20.48,
        training_config={"epochs": 3},
    )


def test_the_data_are_counted_by_hand(manifest: Manifest, tmp_path: Path):
    facts = training_data("made|up", tmp_path, manifest, "ab" * 32).splits["train"]
    assert (facts.num_clips, facts.num_genuine, facts.num_forged_sound, facts.num_forged_picture) == (10, 5, 5, 0)
    assert facts.num_segments == 5
    assert facts.hours == pytest.approx(0.1)


def test_the_card_states_metrics_with_intervals_and_slices(
    manifest: Manifest, measured: ModelFigures, model: ModelDescription, tmp_path: Path
):
    interval = measured.intervals["fused"]["ap_0.5"]
    assert interval.estimate == pytest.approx(0.8)
    assert interval.low < 0.8 < interval.high
    data = training_data("made|up", tmp_path, manifest, "ab" * 32)
    text = write_model_card(model, data=data, dev=replace(measured, split="dev"), evaluations=[measured])
    expected = f"80.0 ({100 * interval.low:.1f} to {100 * interval.high:.1f})"
    assert expected in text.html
    assert expected in text.markdown
    assert "made|up, test split, protocol lavdf" in text.markdown
    assert "10 clips, 5 of them forged, 5 segments; measured 2026-11-20" in text.markdown
    assert "Not evaluated on a test split yet" not in text.markdown
    assert "| train | 10 | 5 | 5 | 0 | 5 | 0.10 |" in text.markdown
    assert "cells of 0.01 s and picture in cells of 0.04 s" in text.html
    assert "<script" not in text.html
    assert "http" not in text.html.split("</style>")[1]


def test_every_table_is_whole(measured: ModelFigures, model: ModelDescription):
    text = write_model_card(model, data=None, dev=measured).markdown
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    for lines in blocks:
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
        assert lines[1].replace(" ", "").replace("-", "").strip("|") == ""


def test_what_is_not_known_is_said(model: ModelDescription):
    text = write_model_card(model, data=None, dev=None)
    assert "was not recorded" in text.markdown
    assert "Not evaluated on a test split yet" in text.description
    assert "no calibration" in text.markdown


def test_drawn_people_are_told(manifest: Manifest, model: ModelDescription, tmp_path: Path):
    card = {"digest": "ef" * 32, "sources": {"drawn": True, "licence": "our own drawings"}}
    (tmp_path / "data_card.json").write_text(json.dumps(card))
    text = write_model_card(model, data=training_data("demo", tmp_path, manifest, "ab" * 32), dev=None)
    assert "It has seen drawn people only" in text.markdown
    assert "our own drawings" in text.html


def test_the_registry_gets_a_short_form(measured: ModelFigures, model: ModelDescription):
    many = [replace(measured, dataset=f"dataset number {number}") for number in range(40)]
    text = write_model_card(model, data=None, dev=measured, evaluations=many)
    assert len(text.description) <= MOST_CHARACTERS < len(text.markdown)


def test_records_come_back_from_json(measured: ModelFigures):
    assert parse(ModelFigures, json.loads(json.dumps(plain(measured)))) == measured


def test_names_cannot_break_the_page(measured: ModelFigures, model: ModelDescription):
    text = write_model_card(model, data=None, dev=replace(measured, dataset="<script>alert(1)</script>"))
    assert "<script>" not in text.html
