"""Probing in parallel: every file has an answer, nothing is read twice, and a file that bites costs itself."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import LocalCluster

from iamsb_core.datasets.validation import validate
from iamsb_core.forgery.config import SIZE_PIXELS, EncodingConfig
from iamsb_core.forgery.encode import encode_clip
from iamsb_core.manifest import Forgery, Manifest, Modality, VideoRecord
from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodeError, MediaProbe
from iamsb_core.media.limits import MediaLimits
from iamsb_core.timeline import Segment
from storage import media_index
from storage.media_index import MediaFile, MediaIndex, look_at
from tasks import probing
from tasks.probing import probe_dataset, probe_files


def clip(path: Path, seconds: float) -> None:
    frames = np.full((round(25 * seconds), SIZE_PIXELS, SIZE_PIXELS, 3), 90, dtype=np.uint8)
    encode_clip(path, frames, np.zeros(round(SAMPLE_RATE_HZ * seconds), dtype=np.float32), EncodingConfig())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two sound clips (one of them twice), one shorter than stated, one broken and one that is not there."""
    root = tmp_path_factory.mktemp("dataset")
    clip(root / "a.mp4", 2.0)
    clip(root / "short.mp4", 1.0)
    (root / "copy.mp4").write_bytes((root / "a.mp4").read_bytes())
    (root / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42 and no more")
    names = ("a.mp4", "short.mp4", "copy.mp4", "broken.mp4", "gone.mp4")
    forgeries = (Forgery(Segment(1.0, 1.5), Modality.AUDIO),)
    return Manifest(
        "lavdf",
        root,
        tuple(
            VideoRecord(
                video_id=name,
                path=Path(name),
                split="test" if name == "copy.mp4" else "train",
                duration_seconds=2.0,
                forgeries=forgeries if name == "short.mp4" else (),
            )
            for name in names
        ),
    )


@pytest.fixture
def index(tmp_path: Path) -> MediaIndex:
    return MediaIndex(tmp_path / "home" / "media.sqlite")


def test_every_video_has_an_answer_and_the_answers_become_findings(dataset: Manifest, index: MediaIndex) -> None:
    probes = probe_dataset(dataset, index, num_threads=2)
    assert set(probes) == {video.video_id for video in dataset.videos}
    sound = probes["a.mp4"]
    assert isinstance(sound, MediaProbe)
    assert (sound.num_video_frames, sound.num_audio_streams) == (50, 1)
    assert sound.duration_seconds == pytest.approx(2.0, abs=0.05)
    assert isinstance(probes["broken.mp4"], DecodeError)
    assert isinstance(probes["gone.mp4"], DecodeError)
    assert (probes["broken.mp4"].kind, probes["gone.mp4"].kind) == ("truncated", "missing")

    report = validate(dataset, probes=probes)
    assert report.num_probed == 3
    pictures, rates, sounds = report.histograms[-3:]
    assert (pictures.bins, rates.bins, pictures.total) == (("h264, 224 x 224",), ("25",), 3)
    assert sounds.bins == ("aac, 16,000 Hz, 1 channel",)
    counts = {one.kind: (one.severity, one.count) for one in report.findings if one.kind != "size_differs"}
    assert counts == {
        "outside_clip": ("error", 1),
        "duplicate_media": ("error", 1),
        "duration_disagrees": ("warning", 1),
        "missing_file": ("warning", 1),
        "bad_media": ("warning", 1),
        "empty_split": ("note", 1),
    }
    assert "has no index (moov)" in next(one.example for one in report.findings if one.kind == "bad_media")


def test_nothing_is_read_twice_by_a_check_or_by_an_extraction(
    dataset: Manifest, index: MediaIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = probe_dataset(dataset, index, num_threads=1)
    monkeypatch.setattr(probing, "_probe_all", lambda *_: pytest.fail("read again"))
    again = probe_dataset(dataset, index, num_threads=1)
    assert {name: str(probe) for name, probe in again.items()} == {name: str(probe) for name, probe in first.items()}

    hashed: list[Path] = []
    monkeypatch.setattr(media_index, "file_sha256", lambda path: hashed.append(path) or "0" * 64)
    found = index.fingerprint(dataset.root, dataset.videos).videos
    assert [path.name for path in hashed] == ["broken.mp4"]  # its bytes were never read to the end
    assert isinstance(first["a.mp4"], MediaProbe)
    assert found[0].media_sha256 == found[2].media_sha256 == first["a.mp4"].sha256

    broken = dataset.root / "broken.mp4"
    times = broken.stat()
    os.utime(broken, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))  # a changed file is another file
    with pytest.raises(pytest.fail.Exception, match="read again"):
        probe_dataset(dataset, index, num_threads=1)


def test_an_interrupted_probing_goes_on_where_it_stopped(
    dataset: Manifest, index: MediaIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "_LARGEST_BATCH", 1)
    whole = probing._probe_all

    def one_batch(*arguments: Any) -> Iterator[Any]:
        batches = whole(*arguments)
        yield next(batches)
        batches.close()
        raise KeyboardInterrupt

    asked: list[int] = []

    def counted(files: Sequence[Any], *rest: Any) -> Iterator[Any]:
        asked.append(len(files))
        return whole(files, *rest)

    monkeypatch.setattr(probing, "_probe_all", one_batch)
    with pytest.raises(KeyboardInterrupt):
        probe_dataset(dataset, index, num_threads=1)
    monkeypatch.setattr(probing, "_probe_all", counted)
    assert len(probe_dataset(dataset, index, num_threads=1)) == 5
    assert asked == [3]


def test_a_failure_that_may_pass_and_what_another_version_wrote_are_asked_again(
    dataset: Manifest, index: MediaIndex
) -> None:
    file = look_at(dataset.root / "a.mp4")
    assert isinstance(file, MediaFile)
    index.remember_probes({file: DecodeError("given up", kind="timeout")})
    assert index.known_probes([file]) == {}
    (probe,) = probe_files([str(file.path)], MediaLimits())
    index.remember_probes({file: probe})
    assert index.known_probes([file]) == {file: probe}
    with sqlite3.connect(index._database) as connection:
        connection.execute("UPDATE probes SET document = json_remove(document, '$.num_channels')")
    connection.close()
    assert index.known_probes([file]) == {}


def test_a_hang_costs_its_own_file(dataset: Manifest) -> None:
    slow, sound = (
        probe_files([str(dataset.root / "a.mp4")], MediaLimits(timeout_seconds=1e-6)),
        probe_files([str(dataset.root / "a.mp4")], MediaLimits()),
    )
    assert isinstance(slow[0], DecodeError)
    assert slow[0].kind == "timeout"
    assert isinstance(sound[0], MediaProbe)


def test_a_cluster_by_its_address_does_the_same(dataset: Manifest, index: MediaIndex, tmp_path: Path) -> None:
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        dashboard_address="127.0.0.1:0",
        memory_limit=None,
    ) as cluster:
        there = probe_dataset(dataset, index, dask_address=cluster.scheduler_address)
    here = probe_dataset(dataset, MediaIndex(tmp_path / "other.sqlite"), num_threads=2)
    assert {name: str(probe) for name, probe in there.items()} == {name: str(probe) for name, probe in here.items()}


def test_no_scheduler_at_the_address_is_one_clear_message(
    dataset: Manifest, index: MediaIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(ValueError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 "):
        probe_dataset(dataset, index, dask_address="tcp://127.0.0.1:1")


@pytest.mark.media
def test_files_that_bite_are_findings(media_folder: Path, index: MediaIndex) -> None:
    root = media_folder / "nasty"
    bad_names = ("empty_0_bytes.webm", "git_lfs_pointer.mp4", "stub_44_bytes.mp4")
    odd_names = ("vfr_0p53s_gaps.mp4", "fps60_no_audio.mov", "audio_only_mov_pcm.mov")
    videos = tuple(
        VideoRecord(video_id=name, path=Path(name), split="test", duration_seconds=None)
        for name in (*bad_names, *odd_names)
    )
    probes = probe_dataset(Manifest("generic", root, videos), index, num_threads=2)
    bad = {name: probe.kind for name, probe in probes.items() if isinstance(probe, DecodeError)}
    assert bad == dict(zip(bad_names, ("empty", "pointer-file", "truncated"), strict=True))
    report = validate(Manifest("generic", root, videos), probes=probes)
    kinds = {one.kind for one in report.findings}
    assert {"bad_media", "varying_frame_rate", "no_sound", "no_picture"} <= kinds
