"""Records, their truth, and shards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from iamsb_core.manifest import Forgery, Manifest, Modality, VideoRecord, VideoShard, stream_name
from iamsb_core.timeline import Segment


def record(name: str, *forgeries: Forgery, sha256: str | None = None) -> VideoRecord:
    return VideoRecord(
        video_id=name,
        path=Path(name),
        split="train",
        duration_seconds=4.0,
        forgeries=forgeries,
        media_sha256=sha256,
    )


def test_the_truth_of_a_stream_and_of_either() -> None:
    # audio   [1   2)
    # visual      [1.5   3)
    # either  [1         3)
    video = record("a", Forgery(Segment(1, 2), Modality.AUDIO), Forgery(Segment(1.5, 3), Modality.VISUAL))
    assert video.truth(Modality.AUDIO).tolist() == [[1, 2]]
    assert video.truth(Modality.VISUAL).tolist() == [[1.5, 3]]
    assert video.truth().tolist() == [[1, 3]]
    assert record("b").truth().shape == (0, 2)
    assert [stream_name(m) for m in (Modality.AUDIO, Modality.VISUAL)] == ["audio", "visual"]


def test_a_video_listed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="lists 'a' twice"):
        Manifest("m", Path(), (record("a"), record("b"), record("a")))


def test_shards_hold_every_video_once_in_order() -> None:
    manifest = Manifest("m", Path("/data"), tuple(record(str(i)) for i in range(7)))
    shards = list(manifest.shards(3))
    assert [len(shard.videos) for shard in shards] == [3, 3, 1]
    assert [v.video_id for shard in shards for v in shard.videos] == [str(i) for i in range(7)]


def test_a_shards_identity_is_its_bytes_not_its_names() -> None:
    one = VideoShard(Path("/x"), (record("a", sha256="1"), record("b", sha256="2")))
    other = VideoShard(Path("/y"), (record("c", sha256="2"), record("d", sha256="1")))
    assert one.media_digest == other.media_digest
    with pytest.raises(ValueError, match="1 videos have no media digest yet, such as b"):
        _ = VideoShard(Path("/x"), (record("a", sha256="1"), record("b"))).media_digest


def whole(streams: Modality, duration_seconds: float | None = 4.0, *, told_apart: bool = True) -> VideoRecord:
    return VideoRecord(
        video_id="w",
        path=Path("w"),
        split="test",
        duration_seconds=duration_seconds,
        label="clip",
        forged_streams=streams,
        streams_told_apart=told_apart,
    )


def test_a_clip_label_is_the_whole_clip_in_its_streams() -> None:
    video = whole(Modality.VISUAL)
    assert video.is_forged
    assert video.is_labelled
    assert video.truth().tolist() == [[0, 4]]
    assert video.truth(Modality.VISUAL).tolist() == [[0, 4]]
    assert video.truth(Modality.AUDIO).shape == (0, 2)
    assert video.truth(Modality.VISUAL, duration_seconds=3.5).tolist() == [[0, 3.5]]
    assert not whole(Modality(0)).is_forged
    assert whole(Modality(0), None).truth().shape == (0, 2)


def test_the_truth_of_a_clip_of_unknown_length_must_be_probed() -> None:
    unknown = whole(Modality.AUDIO | Modality.VISUAL, None)
    with pytest.raises(ValueError, match="how long it lasts is not known; probe the file"):
        unknown.truth()
    assert unknown.truth(Modality.AUDIO, duration_seconds=2.0).tolist() == [[0, 2]]
    known = Manifest("m", Path(), (unknown, record("a"))).with_durations({"w": 5.0, "a": 9.0}).videos
    assert [video.duration_seconds for video in known] == [5.0, 4.0]  # what is stated stays
    assert known[0].truth().tolist() == [[0, 5]]


def test_a_clip_label_that_names_no_stream_is_known_as_a_whole_only() -> None:
    either = whole(Modality.AUDIO | Modality.VISUAL, told_apart=False)
    assert either.truth().tolist() == [[0, 4]]
    for stream in (Modality.AUDIO, Modality.VISUAL):
        with pytest.raises(ValueError, match="labelled forged, but not in which stream"):
            either.truth(stream)
    genuine = whole(Modality(0), told_apart=False)
    assert genuine.truth(Modality.AUDIO).shape == (0, 2)


def test_nothing_is_known_without_a_label() -> None:
    hidden = replace(record("h"), label="none")
    assert not hidden.is_labelled
    assert not hidden.is_forged
    assert hidden.truth().shape == (0, 2)
    assert [video.video_id for video in Manifest("m", Path(), (hidden, record("a"))).labelled().videos] == ["a"]


def test_a_label_that_contradicts_the_truth_is_refused() -> None:
    forged = record("a", Forgery(Segment(1, 2), Modality.AUDIO))
    for label in ("clip", "none"):
        with pytest.raises(ValueError, match="forgeries go with label 'segments'"):
            replace(forged, label=label)
    with pytest.raises(ValueError, match="a: forgeries go with"):
        replace(record("a"), forged_streams=Modality.AUDIO)
