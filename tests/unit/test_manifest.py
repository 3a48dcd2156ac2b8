"""Records, their truth, and shards."""

from __future__ import annotations

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
