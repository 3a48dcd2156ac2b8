"""Every FeatureSource keeps the promises that training builds on: the stored one, and the one that caches it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from iamsb_core.data.memory import CachedFeatures
from iamsb_core.data.source import FeatureSource
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.manifest import STREAMS, Modality, VideoRecord
from iamsb_core.media.clip import FrameView
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from storage.clips import ClipEntry
from storage.feature_source import StoredFeatures
from storage.feature_store import FeatureStore

AUDIO = EncoderSpec(name="handcrafted-audio")
VISUAL = EncoderSpec(name="handcrafted-video", view=FrameView())
SPECS = {Modality.AUDIO: AUDIO, Modality.VISUAL: VISUAL}
STREAM_SPECS = {
    Modality.AUDIO: StreamSpec(
        encoder_identity=AUDIO.identity, dim=4, hop_seconds=0.02, fine_dim=2, fine_hop_seconds=0.005
    ),
    Modality.VISUAL: StreamSpec(encoder_identity=VISUAL.identity, dim=6, hop_seconds=0.04),
}


def video(name: str) -> VideoRecord:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    return VideoRecord(video_id=name, path=Path(name), split="train", duration_seconds=None, media_sha256=sha256)


def entry(name: str, duration_seconds: float, modality: Modality) -> ClipEntry:
    stream, rng = STREAM_SPECS[modality], np.random.default_rng(len(name))

    def track(dim: int, hop_seconds: float) -> FeatureTrack:
        grid = TimeGrid.covering(duration_seconds, hop_seconds)
        return FeatureTrack(rng.standard_normal((grid.num_cells, dim)).astype(np.float16), grid)

    fine = track(stream.fine_dim, stream.fine_hop_seconds) if stream.fine_dim else None
    encoded = EncodedTrack(track(stream.dim, stream.hop_seconds), fine)
    return ClipEntry.encoded(str(video(name).media_sha256), encoded, duration_seconds, video_id=name)


def stored(root: Path) -> StoredFeatures:
    store = FeatureStore(root)
    for modality in STREAMS:
        store.commit(
            STREAM_SPECS[modality],
            SPECS[modality],
            [
                entry("talk.mp4", 3.21, modality),
                entry("short.mp4", 0.5, modality),
                ClipEntry.failed(str(video("broken.mp4").media_sha256), kind="truncated", reason="ends at byte 9"),
                entry("silent.mp4", 1.0, modality)
                if modality is Modality.VISUAL
                else ClipEntry.absent(str(video("silent.mp4").media_sha256), 1.0),
                ClipEntry.absent(str(video("empty.mp4").media_sha256), 1.0),
            ],
        )
    return StoredFeatures(store, AUDIO, VISUAL)


@pytest.fixture(params=[lambda source: source, CachedFeatures], ids=["stored", "cached"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureSource:
    wrap: Callable[[FeatureSource], FeatureSource] = request.param
    return wrap(stored(tmp_path))


def test_streams_are_those_of_the_encoders(source: FeatureSource) -> None:
    assert source.streams.audio == STREAM_SPECS[Modality.AUDIO]
    assert source.streams.visual == STREAM_SPECS[Modality.VISUAL]


@pytest.mark.parametrize("modality", STREAMS)
def test_a_whole_clip_lies_on_its_grid(source: FeatureSource, modality: Modality) -> None:
    found = source.read(video("talk.mp4"), modality)
    assert found is not None
    assert found.duration_seconds == 3.21
    expected = entry("talk.mp4", 3.21, modality).track
    assert found.track.main.grid == TimeGrid.covering(3.21, STREAM_SPECS[modality].hop_seconds)
    assert np.array_equal(found.track.main.values, expected.main.values)
    assert (found.track.fine is None) == (STREAM_SPECS[modality].fine_dim == 0)
    if found.track.fine is not None:
        assert np.array_equal(found.track.fine.values, expected.fine.values)


@pytest.mark.parametrize("modality", STREAMS)
@pytest.mark.parametrize("window", [(0.0, 0.5), (1.3, 2.9), (3.0, 99.0), (0.001, 0.002), (50.0, 60.0)])
def test_a_window_is_the_cut_of_the_whole(
    source: FeatureSource, modality: Modality, window: tuple[float, float]
) -> None:
    cut = source.read(video("talk.mp4"), modality, Segment(*window))  # first, so that a cache cannot help
    whole = source.read(video("talk.mp4"), modality)
    assert cut is not None
    assert whole is not None
    for part, full in ((cut.track.main, whole.track.main), (cut.track.fine, whole.track.fine)):
        if full is not None:
            assert np.array_equal(part.values, full.window(Segment(*window)).values)
            assert part.grid == full.window(Segment(*window)).grid
    assert cut.duration_seconds == whole.duration_seconds


def test_absent_unknown_and_failed_are_told_apart(source: FeatureSource) -> None:
    assert source.read(video("silent.mp4"), Modality.AUDIO) is None
    assert source.read(video("silent.mp4"), Modality.VISUAL) is not None
    with pytest.raises(KeyError, match="extract"):
        source.read(video("unknown.mp4"), Modality.AUDIO)
    with pytest.raises(ValueError, match="ends at byte 9"):
        source.read(video("broken.mp4"), Modality.AUDIO)


def test_unusable_videos_have_reasons(tmp_path: Path) -> None:
    videos = [video(f"{name}.mp4") for name in ("talk", "silent", "broken", "empty", "unknown")]
    reasons = stored(tmp_path).unusable(videos)
    assert set(reasons) == {"broken.mp4", "empty.mp4", "unknown.mp4"}
    assert reasons["broken.mp4"] == "audio: truncated: ends at byte 9; visual: truncated: ends at byte 9"
    assert reasons["empty.mp4"] == "neither sound nor picture"
    assert "not extracted" in reasons["unknown.mp4"]


def test_wrong_use_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="audio and a visual encoder in that order"):
        StoredFeatures(FeatureStore(tmp_path), VISUAL, AUDIO)
    with pytest.raises(ValueError, match="no audio features of encoder handcrafted-audio"):
        _ = StoredFeatures(FeatureStore(tmp_path), AUDIO, VISUAL).streams
    nameless = VideoRecord(video_id="x", path=Path("x"), split="test", duration_seconds=None)
    with pytest.raises(ValueError, match="no media digest"):
        StoredFeatures(FeatureStore(tmp_path), AUDIO, VISUAL).read(nameless, Modality.AUDIO)
