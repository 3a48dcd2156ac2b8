"""The stages of an extraction without media and server: batches, order, and one bad clip among good ones."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.encoders.growing import _NO_PROBE
from iamsb_core.encoders.load import encoder_specs
from iamsb_core.manifest import Modality, VideoRecord, VideoShard
from iamsb_core.media.clip import DecodedClip, DecodeError
from iamsb_core.timeline import FeatureTrack, TimeGrid
from storage.feature_store import FeatureStore
from storage.pack_writer import StoreDtype
from tasks import decoders, extraction
from tasks.jobs import ShardJob, ShardResult
from tasks.policy import DECODERS_VARIABLE, MAX_WORKERS_VARIABLE, num_decoders

NUM_CLIPS, SECONDS = 12, 30.0
AUDIO, VISUAL = encoder_specs("handcrafted")


class FakeEncoder:
    """The clip's number in every cell; refuses clip 5, alone or in company. Remembers how many came together."""

    def __init__(self, spec: EncoderSpec, hop_seconds: float) -> None:
        self.spec = spec
        self.stream = StreamSpec(encoder_identity=spec.identity, dim=2, hop_seconds=hop_seconds)
        self.calls: list[int] = []
        self.threads: set[str] = set()

    def encode(self, clips: Sequence[DecodedClip]) -> list[EncodedTrack]:
        self.calls.append(len(clips))
        self.threads.add(threading.current_thread().name.split("_")[0])
        if any(clip.reader == "5" for clip in clips):
            raise ValueError("clip 5 is not to my liking")
        return [self._track(clip) for clip in clips]

    def _track(self, clip: DecodedClip) -> EncodedTrack:
        grid = TimeGrid.covering(clip.duration_seconds, self.stream.hop_seconds)
        return EncodedTrack(FeatureTrack(np.full((grid.num_cells, 2), float(clip.reader), np.float32), grid))


def sha(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def decoded(job: ShardJob, decoder: object, work: extraction._Work) -> DecodedClip | DecodeError:
    """Clip 3 is damaged, clip 7 has no sound."""
    number = int(work.video.video_id)
    if number == 3:
        return DecodeError("damaged", kind="damaged")
    probe = replace(_NO_PROBE, sha256=sha(number), duration_seconds=SECONDS)
    return DecodedClip(
        probe=probe,
        duration_seconds=SECONDS,
        waveform=None if number == 7 else np.zeros(1, np.float32),
        frames=np.zeros((1, 2, 2, 3), np.uint8),
        frame_boxes=None,
        face_found=None,
        frame_grid=None,
        reader=str(number),
    )


def run(folder: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> tuple[ShardResult, FakeEncoder, FakeEncoder]:
    audio, visual = FakeEncoder(AUDIO, 0.02), FakeEncoder(VISUAL, 0.04)
    monkeypatch.setenv(DECODERS_VARIABLE, "3")
    monkeypatch.setattr(decoders, "MediaDecoder", contextlib.ExitStack)  # it can be closed, and that is all
    monkeypatch.setattr(extraction, "_decode", decoded)
    monkeypatch.setattr(extraction, "_encoders", lambda _: {Modality.AUDIO: audio, Modality.VISUAL: visual})
    job = replace(shard_job(folder, range(NUM_CLIPS)), device=device)
    return extraction.extract(job), audio, visual


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_clip_gets_what_is_its_own(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, audio, visual = run(tmp_path, device, monkeypatch)
    assert result.num_decoded == NUM_CLIPS
    store = FeatureStore(tmp_path)
    for spec, encoder in ((AUDIO, audio), (VISUAL, visual)):
        assert encoder.threads == {"encode"}
        records = store.records(spec.identity, map(sha, range(NUM_CLIPS)))
        kinds = {int(record.video_id): record.kind for record in records.values() if record.status == "failed"}
        assert kinds == {3: "damaged", 5: "encoder"}
        for number in set(range(NUM_CLIPS)) - {3, 5, 7}:
            found = store.read(spec.identity, sha(number))
            assert found is not None
            assert set(np.unique(found.track.main.values)) == {number}
    assert store.read(AUDIO.identity, sha(7)) is None
    assert store.read(VISUAL.identity, sha(7)) is not None


def test_a_gpu_takes_clips_together_and_those_beside_a_bad_one_once_more_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """240 s are nine of the twelve clips: 30 s each, and nothing of the one that could not be decoded."""
    _, _, visual = run(tmp_path, "cuda", monkeypatch)
    assert visual.calls == [8, *[1] * 8, 3]


def test_a_core_takes_one_clip_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, audio, _ = run(tmp_path, "cpu", monkeypatch)
    assert set(audio.calls) <= {0, 1}, "none where the clip has no sound"


def test_a_shard_decodes_in_its_part_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DECODERS_VARIABLE, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    for workers, expected in (("2", 8), ("16", 1), ("32", 1)):
        monkeypatch.setenv(MAX_WORKERS_VARIABLE, workers)
        assert num_decoders() == expected
    monkeypatch.setenv(DECODERS_VARIABLE, "5")
    assert num_decoders() == 5
    monkeypatch.setenv(DECODERS_VARIABLE, "none")
    with pytest.raises(ValueError, match="decoding processes must be 1 or more"):
        num_decoders()


def shard_job(folder: Path, numbers: range, stored_as: StoreDtype = "float16") -> ShardJob:
    videos = tuple(
        VideoRecord(video_id=str(n), path=Path(f"{n}.mp4"), split="train", duration_seconds=None, media_sha256=sha(n))
        for n in numbers
    )
    shard = VideoShard(folder, videos)
    return ShardJob(shard=shard, audio=AUDIO, visual=VISUAL, store=folder, stored_as=stored_as)


def test_one_look_tells_which_shards_are_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad clips count as done; a shard with one clip more is not, whatever the store keeps of each number."""
    run(tmp_path, "cpu", monkeypatch)
    kinds: tuple[StoreDtype, ...] = ("float16", "int8")
    for stored_as in kinds:
        jobs = [shard_job(tmp_path, numbers, stored_as) for numbers in (range(6), range(NUM_CLIPS + 1), range(6, 12))]
        assert extraction.which_complete(jobs) == [True, False, True]
    assert extraction.which_complete([]) == []


def test_of_many_shards_only_those_with_work_become_task_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("flows.extract")
    jobs = [shard_job(tmp_path, range(n, n + 1)) for n in range(101)]
    monkeypatch.setattr(module, "which_complete", lambda some: [job is not jobs[7] for job in some])
    assert module._worth_telling(jobs) == ([(jobs[7], False)], 100)
    assert module._worth_telling(jobs[:100]) == ([(job, job is not jobs[7]) for job in jobs[:100]], 0)
