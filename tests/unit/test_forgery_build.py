"""A whole forged dataset: layout, truth after the codec, same bytes from the same seed, kills and refusals."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from iamsb_core.datasets.registry import read_dataset
from iamsb_core.datasets.validation import validate
from iamsb_core.digest import plain
from iamsb_core.forgery.clip_maker import forge_clip
from iamsb_core.forgery.config import EncodingConfig, ForgeConfig, SyntheticConfig
from iamsb_core.forgery.encode import encode_clip
from iamsb_core.forgery.forge import ForgeSummary, forge
from iamsb_core.forgery.plan import plan_clips
from iamsb_core.forgery.staging import staged
from iamsb_core.forgery.synthetic import draw_recording
from iamsb_core.forgery.takes import SourceLength
from iamsb_core.manifest import STREAMS, Manifest, Modality
from iamsb_core.media.clip import FrameView
from iamsb_core.media.isolation import MediaDecoder

TINY = ForgeConfig(
    num_clips=(8, 3, 5),
    people_shares=(2.0, 1.0, 1.0),
    clip_seconds=(2.0, 2.6),
    segment_seconds=(0.2, 0.8),
    synthetic=SyntheticConfig(num_people=4, seconds_per_person=4.0),
)
SEED = 7


@pytest.fixture(scope="module")
def forged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ForgeSummary]:
    out = tmp_path_factory.mktemp("forged") / "tiny"
    return out, forge(None, out, TINY, seed=SEED, num_workers=1)


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    with MediaDecoder() as decoder:
        yield decoder


def manifest_of(forged: tuple[Path, ForgeSummary]) -> Manifest:
    return read_dataset("demo", forged[0])


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_folder_is_a_sound_dataset_in_the_benchmarks_layout(forged: tuple[Path, ForgeSummary]) -> None:
    manifest = manifest_of(forged)
    report = validate(manifest)
    assert report.findings == ()
    assert [size.num_videos for size in report.splits] == [8, 3, 5]
    assert len(manifest.videos) == 16
    names = {path.name for path in forged[0].iterdir()}
    assert names == {"train", "dev", "test", "metadata.json", "metadata.min.json", "metadata.streams.json", ".examples"}
    small, full = (json.loads((forged[0] / name).read_text()) for name in ("metadata.min.json", "metadata.json"))
    about_forgery = {"n_fakes", "fake_periods", "original", "modify_video", "modify_audio"}
    about_media = {"file", "split", "duration", "video_frames", "audio_channels", "audio_frames"}
    assert set(small[0]) == about_forgery | about_media
    assert set(full[0]) - set(small[0]) == {"timestamps", "transcript"}


def test_the_summary_counts_what_is_there(forged: tuple[Path, ForgeSummary]) -> None:
    out, summary = forged
    manifest = manifest_of(forged)
    train = summary.splits["train"]
    assert train.num_clips == 8
    assert train.num_real == sum(not video.is_forged for video in manifest.split("train").videos) == 2
    num_segments = sum(len(video.truth(modality)) for video in manifest.videos for modality in STREAMS)
    assert sum(summary.methods.values()) == num_segments
    assert not summary.reused
    assert summary.skipped == ()
    json.dumps(plain(summary))
    assert not (out.parent / f".{out.name}.forging").exists()


def test_truth_is_inside_the_clip_and_on_the_streams_own_grid(forged: tuple[Path, ForgeSummary]) -> None:
    forgeries = [(video, forgery) for video in manifest_of(forged).videos for forgery in video.forgeries]
    assert {forgery.modality for _, forgery in forgeries} == set(STREAMS)
    for video, forgery in forgeries:
        segment = forgery.segment
        assert video.duration_seconds is not None
        assert 0 < segment.start < segment.end < video.duration_seconds
        assert 0.2 - 1e-6 <= segment.duration_seconds <= 0.8 + 1e-6
        rate = 16000 if forgery.modality is Modality.AUDIO else 25
        for boundary in (segment.start, segment.end):
            assert boundary * rate == pytest.approx(round(boundary * rate), abs=1e-6)


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(
    forged: tuple[Path, ForgeSummary], tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    forge(None, tmp_path / "again", TINY, seed=SEED, num_workers=2, progress=lambda *state: told.append(state))
    assert digests(tmp_path / "again") == digests(forged[0])
    assert told == [("recordings", i, 4) for i in range(1, 5)] + [("clips", i, 16) for i in range(1, 17)]


def test_the_same_dataset_is_reused_and_nothing_else_is_written_over(forged: tuple[Path, ForgeSummary]) -> None:
    out, first = forged
    before = digests(out)
    again = forge(None, out, TINY, seed=SEED, num_workers=1)
    assert again.reused
    assert replace(again, reused=False, wall_seconds=0.0) == replace(first, wall_seconds=0.0)
    with pytest.raises(ValueError, match=r"other media, settings or seed; choose another folder"):
        forge(None, out, TINY, seed=SEED + 1, num_workers=1)
    with pytest.raises(ValueError, match="already holds something else"):
        forge(None, out / "train", TINY, num_workers=1)
    with pytest.raises(ValueError, match="is a file"):
        forge(None, out / "metadata.json", TINY, num_workers=1)
    assert digests(out) == before


def test_after_the_codec_sound_and_picture_are_where_they_were(decoder: MediaDecoder, tmp_path: Path) -> None:
    recording = draw_recording(3, 4.0, seed=0)
    path = tmp_path / "clip.mp4"
    encode_clip(path, recording.frames, recording.waveform, EncodingConfig())
    clip = decoder.decode(path, FrameView(crop="centre"), audio=True)
    assert clip.frames is not None
    assert clip.waveform is not None
    assert len(clip.frames) == recording.num_frames == 100
    assert len(clip.waveform) == len(recording.waveform)
    spectrum = np.fft.rfft(clip.waveform, 1 << 18) * np.conj(np.fft.rfft(recording.waveform, 1 << 18))
    correlation = np.fft.irfft(spectrum)
    lag = int(np.argmax(correlation))
    assert lag == 0  # AAC's 1024 samples of priming would be 64 ms
    assert np.corrcoef(clip.waveform, recording.waveform)[0, 1] > 0.98
    for index in (0, 37, 99):  # every decoded frame is nearest to the frame of the same number
        error = [
            np.abs(clip.frames[index].astype(float) - frame).mean()
            for frame in recording.frames[max(0, index - 3) : index + 4]
        ]
        assert int(np.argmin(error)) == min(index, 3)
        assert min(error) < 8


def test_every_clip_is_coded_alike(forged: tuple[Path, ForgeSummary]) -> None:
    settings = set()
    for video in manifest_of(forged).videos:
        with av.open(str(forged[0] / video.path)) as container:
            picture, sound = container.streams.video[0], container.streams.audio[0]
            keys = [packet.pts for packet in container.demux(picture) if packet.is_keyframe and packet.pts is not None]
            ticks_per_frame = 1 / (25 * picture.time_base)
            assert [key / ticks_per_frame for key in keys] == list(range(0, picture.frames, 25))
            settings.add((picture.codec_context.name, picture.codec_context.profile, picture.width, picture.height))
            settings.add((sound.codec_context.name, sound.rate, sound.layout.name))
            assert picture.frames == round((video.duration_seconds or 0) * 25)
    assert len(settings) == 2


def test_outside_the_truth_a_forged_clip_is_the_genuine_one() -> None:
    recordings = {f"s{i}": draw_recording(i, 4.0, SEED) for i in range(4)}
    plans = plan_clips([SourceLength(key, r.person, r.num_frames) for key, r in recordings.items()], TINY, SEED)
    for plan in [plan for plan in plans if plan.kind != "real"]:
        (piece,) = plan.pieces
        own = recordings[piece.source]
        clip = forge_clip(plan, recordings, TINY)
        cut = slice(piece.first_frame, piece.first_frame + piece.num_frames)
        genuine = own.waveform[cut.start * 640 : cut.stop * 640].copy()
        for span in clip.audio:
            genuine[round(span.start * 16000) : round(span.end * 16000)] = 9
        assert np.array_equal(genuine == 9, (genuine != clip.waveform) & (genuine == 9))
        assert np.array_equal(genuine[genuine != 9], clip.waveform[genuine != 9])
        touched = {i for span in clip.visual for i in range(round(span.start * 25), round(span.end * 25))}
        same = (own.frames[cut] == clip.pictures.array()).all(axis=(1, 2, 3))
        assert set(np.flatnonzero(~same).tolist()) <= touched
        if plan.kind == "both_different_times" and clip.audio:
            (sound,), (picture,) = clip.audio, clip.visual
            assert sound.end < picture.start or picture.end < sound.start
        if plan.kind == "both_same_time":
            assert [(s.start, s.end) for s in clip.audio] == [(s.start, s.end) for s in clip.visual]


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_forgery_build import SEED, TINY
from iamsb_core.forgery.forge import forge
if __name__ == "__main__":
    forge(None, Path(sys.argv[1]), TINY, seed=SEED, num_workers=int(sys.argv[2]))
"""


def test_a_killed_run_is_taken_up_and_ends_the_same(forged: tuple[Path, ForgeSummary], tmp_path: Path) -> None:
    out = tmp_path / "killed"
    notes = tmp_path / ".killed.forging" / ".notes"
    script = SCRIPT.format(folder=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", script, str(out), "1"], start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while len(list(notes.glob("*.json")) if notes.is_dir() else []) < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert not out.exists()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / ".killed.forging").glob("*/*.mp4")}
    assert len(made) >= 3
    forge(None, out, TINY, seed=SEED, num_workers=1)
    assert digests(out) == digests(forged[0])
    kept = [
        path for path in made if (out / path.relative_to(tmp_path / ".killed.forging")).stat().st_mtime_ns == made[path]
    ]
    assert len(kept) >= 3


def test_the_workers_of_a_killed_run_end(tmp_path: Path) -> None:
    notes = tmp_path / ".killed.forging" / ".notes"
    script = SCRIPT.format(folder=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "killed"), "2"]) as process:
        deadline = time.monotonic() + 60
        while not (notes.is_dir() and any(notes.glob("*.json"))):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert len(workers) >= 2
    _, left = psutil.wait_procs(workers, timeout=20)
    assert not left


def test_two_runs_do_not_make_the_same_folder_at_once(tmp_path: Path) -> None:
    with staged(tmp_path / "out", "a"):
        with pytest.raises(ValueError, match="being forged by another process"), staged(tmp_path / "out", "a"):
            pass
        assert (tmp_path / ".out.forging").is_dir()
    assert (tmp_path / "out").is_dir()


def test_what_another_configuration_left_half_made_is_not_taken_up(tmp_path: Path) -> None:
    def interrupted(identity: str) -> list[str]:
        """What is found there; then the run fails after leaving one more file."""
        found: list[str] = []
        with contextlib.suppress(RuntimeError), staged(tmp_path / "out", identity) as folder:
            found = sorted(path.name for path in folder.iterdir())
            (folder / f"left {len(found)}").touch()
            raise RuntimeError
        return found

    assert interrupted("a") == ["forging.json"]
    assert interrupted("a") == ["forging.json", "left 1"]
    assert interrupted("b") == ["forging.json"]
    assert not (tmp_path / "out").exists()


def test_media_that_cannot_be_forged_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    media = tmp_path / "media"
    with pytest.raises(ValueError, match="does not exist"):
        forge(media, tmp_path / "out", TINY)
    media.mkdir()
    with pytest.raises(ValueError, match="no video in"):
        forge(media, tmp_path / "out", TINY)
    for name in "abc":
        (media / f"{name}.mp4").write_bytes(name.encode())
    with pytest.raises(ValueError, match=r"none of the 3 videos can be forged from \(a.mp4: "):
        forge(media, tmp_path / "out", TINY, num_workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["media"]


@pytest.mark.media
def test_real_people_are_forged_and_bad_files_skipped(media_folder: Path, tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    for name in ("vox_00067.mp4", "vretalk_face5.mp4", "grid_brbk7n.mpg"):
        (media / name).symlink_to(media_folder / "real" / name)
    (media / "broken.mp4").write_bytes(b"no video")
    config = replace(TINY, num_clips=(4, 2, 2))
    summary = forge(media, tmp_path / "out", config, num_workers=1)
    assert [name for name, _ in summary.skipped] == ["broken.mp4"]
    assert [split.num_people for split in summary.splits.values()] == [1, 1, 1]
    report = validate(read_dataset("demo", tmp_path / "out"))
    assert report.ok
    assert report.findings == ()
