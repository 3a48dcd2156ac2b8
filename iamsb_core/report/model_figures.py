"""What a model card states in numbers: the data of each split, and metrics of one split with intervals and slices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS, Manifest, Modality, VideoRecord, stream_name
from iamsb_core.metrics.bootstrap import Interval, bootstrap
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.labels import Labels
from iamsb_core.metrics.metric_report import MetricReport
from iamsb_core.metrics.slices import telling

LEVEL = 0.95
FUSED = "fused"
SEED = 0
DATA_CARD = "data_card.json"
_NUM_REPLICATES, _NUM_REPLICATES_OF_MANY, _MANY_CLIPS = 1000, 200, 20_000
"""a replicate costs time in proportion to the clips, and the more clips the less it takes to know the range"""


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """How much of a dataset a model saw in one split."""

    num_clips: int
    num_genuine: int
    num_forged_sound: int
    """clips; one that is forged in both streams counts in both"""
    num_forged_picture: int
    num_segments: int
    hours: float | None
    """None where the dataset does not state its clips' durations"""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What a model was trained and chosen on."""

    dataset: str
    manifest_sha256: str
    splits: dict[str, SplitFacts]
    data_card: dict[str, Any] = field(default_factory=dict)
    """digest and sources of a dataset that `iamsb forge` made; empty for any other"""


@dataclass(frozen=True, kw_only=True)
class ModelFigures:
    """One evaluation of a model, whole: nothing of it needs the predictions again."""

    dataset: str
    split: str
    manifest_sha256: str
    date: str
    """UTC, YYYY-MM-DD"""
    report: MetricReport
    intervals: dict[str, dict[str, Interval]]
    """by `fused`, `audio` and `visual`, and by metric, such as `ap_0.5`"""
    num_replicates: int
    num_unusable: int = 0
    """videos of the split that could not be decoded, and were not scored"""


def training_data(dataset: str, root: Path, manifest: Manifest, sha256: str) -> TrainingData:
    """Counts of the train and dev splits, and what the dataset's own card says of its sources."""
    return TrainingData(
        dataset=dataset,
        manifest_sha256=sha256,
        splits={split: _split_facts(manifest.split(split).labelled().videos) for split in ("train", "dev")},
        data_card=_data_card(root),
    )


def _split_facts(videos: Sequence[VideoRecord]) -> SplitFacts:
    seconds = [video.duration_seconds for video in videos]
    known = [value for value in seconds if value is not None]
    return SplitFacts(
        num_clips=len(videos),
        num_genuine=sum(not video.is_forged for video in videos),
        num_forged_sound=sum(_is_forged_in(video, Modality.AUDIO) for video in videos),
        num_forged_picture=sum(_is_forged_in(video, Modality.VISUAL) for video in videos),
        num_segments=sum(len(video.forgeries) for video in videos),
        hours=round(sum(known) / 3600, 3) if len(known) == len(seconds) else None,
    )


def _is_forged_in(video: VideoRecord, stream: Modality) -> bool:
    return bool(video.forged_streams & stream) or any(forgery.modality & stream for forgery in video.forgeries)


def _data_card(root: Path) -> dict[str, Any]:
    path = root / DATA_CARD
    if not path.is_file():
        return {}
    document = json.loads(path.read_text(encoding="utf-8"))
    return {name: document.get(name) for name in ("name", "digest", "sources", "layout", "difficulty", "placement")}


def figures(
    manifest: Manifest,
    found: Mapping[str, ClipProposals],
    protocol_name: str,
    *,
    dataset: str,
    split: str,
    sha256: str,
    date: str,
    num_unusable: int = 0,
) -> ModelFigures:
    """Metrics, every slice that the labels can tell, and 95 % intervals over clips (1000 replicates; 200 of 20,000
    clips or more).

    The manifest holds the clips to score, all with predictions. Raises ValueError where none has a label.
    """
    labels = Labels.of_manifest(manifest)
    num = _NUM_REPLICATES if len(labels.clips) < _MANY_CLIPS else _NUM_REPLICATES_OF_MANY
    streams: dict[str, Modality | None] = {FUSED: None}
    if labels.has_streams:
        streams |= {stream_name(stream): stream for stream in STREAMS}
    rng = np.random.default_rng(SEED)
    return ModelFigures(
        dataset=dataset,
        split=split,
        manifest_sha256=sha256,
        date=date,
        report=evaluate(labels, found, protocol_name, slice_by=telling(labels.clips)),
        intervals={
            name: bootstrap(labels, found, protocol_name, rng=rng, modality=modality, num_replicates=num, level=LEVEL)
            for name, modality in streams.items()
        },
        num_replicates=num,
        num_unusable=num_unusable,
    )
