"""Export features for other projects: one .npy per clip and stream, and its clock as JSON beside it."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from iamsb_core.digest import digest, plain
from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.manifest import VideoRecord, stream_name
from iamsb_core.timeline import FeatureTrack
from storage.feature_store import FeatureStore
from storage.staging import write_atomically


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written, and why some clips were not."""

    num_files: int
    num_bytes: int
    """of the arrays"""
    skipped: dict[str, str]
    """reason by `<video_id> (<stream>)`"""


def export_features(
    store: FeatureStore, specs: Iterable[EncoderSpec], videos: Iterable[VideoRecord], out: Path
) -> ExportReport:
    """Write `<out>/<video_id without suffix>.<stream>.npy` and `.json`, for each clip and encoder.

    A fine track goes to `<...>.<stream>.fine.npy`. A clip without the stream, or without features, is skipped with
    its reason.
    """
    num_files = num_bytes = 0
    skipped = {}
    videos = list(videos)
    bases = _bases(videos)
    for spec in specs:
        stream = stream_name(spec.modality)
        for video in videos:
            try:
                written = _export(store, spec, video, out / f"{bases[video.video_id]}.{stream}")
            except (KeyError, ValueError) as error:
                skipped[f"{video.video_id} ({stream})"] = str(error.args[0])
                continue
            if not written:
                skipped[f"{video.video_id} ({stream})"] = "the clip has no such stream"
            num_files += len(written)
            num_bytes += sum(written)
    return ExportReport(num_files, num_bytes, skipped)


def _export(store: FeatureStore, spec: EncoderSpec, video: VideoRecord, base: Path) -> list[int]:
    """Bytes of each array written; none where the clip has no such stream."""
    if video.media_sha256 is None:
        raise ValueError("its media could not be read")
    stored = store.read(spec.identity, video.media_sha256)
    if stored is None:
        return []
    clock: dict[str, Any] = {
        "video_id": video.video_id,
        "media_sha256": video.media_sha256,
        "stream": stream_name(spec.modality),
        "duration_seconds": stored.duration_seconds,
        "encoder": plain(spec),
        "encoder_identity": spec.identity,
    }
    written = [_write(base, stored.track.main, clock)]
    if stored.track.fine is not None:
        written.append(_write(base.with_name(base.name + ".fine"), stored.track.fine, clock))
    return written


def _write(base: Path, track: FeatureTrack, clock: dict[str, Any]) -> int:
    buffer = io.BytesIO()
    np.save(buffer, track.values, allow_pickle=False)
    write_atomically(base.with_name(base.name + ".npy"), buffer.getvalue(), durable=False)
    about = {
        "array": base.name + ".npy",
        "first_cell_start_seconds": 0.0,
        "hop_seconds": track.grid.hop_seconds,
        "num_cells": track.grid.num_cells,
        "dim": track.dim,
        **clock,
    }
    write_atomically(base.with_name(base.name + ".json"), json.dumps(about, indent=2).encode(), durable=False)
    return int(track.values.nbytes)


def _bases(videos: list[VideoRecord]) -> dict[str, PurePosixPath]:
    """Where each clip's files go, below the output folder: the video_id, without its suffix where that is unique."""
    whole = {video.video_id: _inside(video.video_id) for video in videos}
    short = {name: path.with_suffix("") for name, path in whole.items()}
    num_short, num_whole = Counter(short.values()), Counter(whole.values())

    def base(name: str) -> PurePosixPath:
        if num_short[short[name]] == 1:
            return short[name]
        path = whole[name]
        return path if num_whole[path] == 1 else path.with_name(f"{path.name}-{digest(name)[:8]}")

    return {name: base(name) for name in whole}


def _inside(video_id: str) -> PurePosixPath:
    """The id as a path, without anything that leads out of the output folder."""
    parts = [part for part in PurePosixPath(video_id).parts if part not in ("/", "//", "..")]
    return PurePosixPath(*parts) if parts else PurePosixPath("clip")
