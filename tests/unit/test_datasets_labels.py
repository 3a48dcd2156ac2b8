"""Videos labelled as a whole, or not at all: what training items, predictions and metrics make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iamsb_core.data.dataset import read_item
from iamsb_core.data.source import StoredTrack
from iamsb_core.encoders.base import EncodedTrack
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Forgery, Manifest, Modality, VideoRecord
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.labels import Labels
from iamsb_core.metrics.plots import ar_figure
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from iamsb_core.training.validation import operating_points, selection

BOTH = Modality.AUDIO | Modality.VISUAL
NONE = Modality(0)


def video(name: str, **known: Any) -> VideoRecord:
    return VideoRecord(**{"video_id": name, "path": Path(name), "split": "test", "duration_seconds": None, **known})


def whole(name: str, streams: Modality, **known: Any) -> VideoRecord:
    return video(name, label="clip", forged_streams=streams, **known)


def found(scores: dict[str, tuple[float, float, float]]) -> dict[str, ClipProposals]:
    """Predictions of 4 s clips with one proposal a stream: the scores of audio, visual and the clip."""
    made = {}
    for name, (audio, visual, clip) in scores.items():
        rows = [np.array([[0.0, 4.0, score]], dtype=np.float32) for score in (audio, visual, clip)]
        made[name] = ClipProposals(name, 4.0, *rows, clip)
    return made


CLIPS = Manifest(
    "clips",
    Path("/"),
    (whole("a", Modality.AUDIO), whole("v", Modality.VISUAL), whole("b", BOTH), whole("r", NONE)),
)
#                    audio visual clip
FOUND = found({"a": (0.9, 0.3, 0.9), "v": (0.2, 0.8, 0.8), "b": (0.7, 0.1, 0.2), "r": (0.1, 0.2, 0.3)})


class Ramps:
    """Stored features of clips that last 4 s."""

    def read(self, video: VideoRecord, modality: Modality, window: Segment | None = None) -> StoredTrack:
        track = FeatureTrack(np.zeros((100, 2), dtype=np.float32), TimeGrid(0.04, 100))
        return StoredTrack(EncodedTrack(track if window is None else track.window(window)), 4.0)


def test_clips_labelled_as_a_whole_have_an_auc_in_every_stream_and_no_ap():
    report = evaluate(CLIPS, FOUND, "ddl-av")
    assert report.auc == pytest.approx(2 / 3)  # a and v above r, b below it
    assert report.streams["audio"].auc == 1.0  # 0.9 and 0.7 above 0.2 and 0.1
    assert report.streams["visual"].auc == pytest.approx((2 + 0) / 4)  # v above both, b (0.1) below both
    assert set(report.ap.values()) | set(report.ar.values()) == {None}
    assert (report.score, report.final) == (None, None)
    assert "the labels are of whole clips, so there is no AP or AR" in report.warnings
    assert report.counts.forged_clips == 3
    assert selection(report) == report.auc
    ar_figure({"fused": report.ar}).canvas.draw()  # without a point, and without a logarithm of nothing


def test_a_label_that_names_no_stream_is_scored_fused_only():
    told = [whole("a", BOTH, streams_told_apart=False), whole("r", NONE, streams_told_apart=False)]
    report = evaluate(Manifest("dfdc", Path("/"), tuple(told)), FOUND)
    assert (report.auc, report.streams) == (1.0, {})


def test_clips_without_a_label_are_not_scored_and_none_at_all_is_refused():
    hidden = (video("h", label="none"), video("i", label="none"))
    forged = video("a", forgeries=(Forgery(Segment(1, 2), Modality.AUDIO),))
    report = evaluate(Manifest("some", Path("/"), (*hidden, forged, video("r"))), FOUND)
    assert report.counts.clips == 2
    assert "2 of 4 clips have no label; left out" in report.warnings
    with pytest.raises(ValueError, match=r"none of the 2 clips of secret has a label.*send them the predictions"):
        Labels.of_manifest(Manifest("secret", Path("/"), hidden))


def test_a_training_item_of_a_forged_clip_is_forged_from_end_to_end():
    item = read_item(Ramps(), whole("v", Modality.VISUAL))
    assert item.truth[Modality.VISUAL].tolist() == [[0, 4]]
    assert len(item.truth[Modality.AUDIO]) == 0
    window = read_item(Ramps(), whole("v", Modality.VISUAL), Segment(1.0, 3.0))
    assert window.truth[Modality.VISUAL].tolist() == [[0, 2]]


def test_what_is_predicted_of_sees_no_truth():
    forged = video("a", forgeries=(Forgery(Segment(1, 2), BOTH),)).without_truth()
    assert (forged.is_labelled, forged.is_forged) == (False, False)
    either = whole("d", BOTH, streams_told_apart=False)
    with pytest.raises(ValueError, match="not in which stream"):
        read_item(Ramps(), either)
    item = read_item(Ramps(), either.without_truth())
    assert [len(segments) for segments in item.truth.values()] == [0, 0]


def test_operating_points_come_from_decoded_durations():
    thresholds = operating_points(CLIPS, FOUND)
    assert 0.0 < thresholds["threshold_decision"] < 1.0
    assert 0.0 < thresholds["threshold_display"] < 1.0
