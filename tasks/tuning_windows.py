"""One window of every clip as an encoder takes it: decoded once, kept in scratch, read back whenever it is wanted."""

from __future__ import annotations

import io
import logging
import queue
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iamsb_core.digest import digest
from iamsb_core.encoders.tunable import TunableEncoder
from iamsb_core.manifest import Manifest, Modality, VideoRecord
from iamsb_core.media.clip import DecodedClip, DecodeError
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.metrics.cells import cell_truth
from iamsb_core.timeline import TimeGrid
from iamsb_core.training.tuning import Window, draw_window
from storage.staging import write_atomically
from tasks import progress
from tasks.logs import log_ids
from tasks.ordered import in_order
from tasks.policy import num_decoders
from tasks.tune_job import WINDOWS_STAGE, TuneJob

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredWindows:
    """Windows in files, one for each clip."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> Window:
        with np.load(self.paths[place]) as file:
            return Window(file["inputs"], file["truth"])


def gather(job: TuneJob, encoder: TunableEncoder, manifest: Manifest) -> StoredWindows:
    """A window of every clip that has the stream; what scratch lacks is decoded, what cannot be is left out.

    A window is drawn from its clip's bytes and truth alone, so that every way of tuning sees the same.
    """
    known = [video for video in manifest.videos if video.media_sha256 is not None]
    paths = {video.video_id: job.windows / f"{digest([video.media_sha256, _truth(video)])}.npz" for video in known}
    lacking = [video for video in known if not paths[video.video_id].is_file()]
    progress.begin(WINDOWS_STAGE, len(known))
    progress.advance(WINDOWS_STAGE, len(known) - len(lacking), cached=len(known) - len(lacking))
    with closing(_decoded(job, manifest.root, lacking)) as decoded:
        for video, clip in decoded:
            if not isinstance(clip, DecodeError):
                write_atomically(paths[video.video_id], _window(job, encoder, video, clip), durable=False)
            progress.advance(WINDOWS_STAGE)
    found = tuple(path for path in paths.values() if path.is_file())
    if len(found) < len(manifest.videos):
        log.warning("%d of %d clips are left out", len(manifest.videos) - len(found), len(manifest.videos))
    return StoredWindows(found)


def _truth(video: VideoRecord) -> list[Any]:
    return [video.forgeries, video.label, video.forged_streams]


def _window(job: TuneJob, encoder: TunableEncoder, video: VideoRecord, clip: DecodedClip) -> bytes:
    """A file's content: `inputs` (L, ...) and `truth` (L,)."""
    modality, hop_seconds = job.spec.modality, encoder.stream.hop_seconds
    grid = TimeGrid.covering(clip.duration_seconds, hop_seconds)
    truth = video.truth(modality, duration_seconds=clip.duration_seconds)
    rng = np.random.default_rng(int(clip.probe.sha256[:16], 16))
    cells = draw_window(truth, grid, job.config.window_cells(modality, hop_seconds), rng)
    inputs: NDArray[Any] = encoder.inputs(clip)[cells]
    file = io.BytesIO()
    np.savez(file, inputs=inputs, truth=cell_truth(truth, grid)[cells])
    return file.getvalue()


def _decoded(
    job: TuneJob, root: Path, videos: Sequence[VideoRecord]
) -> Generator[tuple[VideoRecord, DecodedClip | DecodeError], None, None]:
    """The videos' stream, in order, by several decoding processes."""
    number = num_decoders()
    idle: queue.SimpleQueue[MediaDecoder] = queue.SimpleQueue()

    def decode(video: VideoRecord) -> tuple[VideoRecord, DecodedClip | DecodeError]:
        decoder = idle.get()
        try:
            with log_ids(clip=video.video_id):
                return video, _decode(decoder, root / video.path, job)
        finally:
            idle.put(decoder)

    with ExitStack() as stack:
        for _ in range(number):
            idle.put(stack.enter_context(MediaDecoder()))
        yield from in_order(decode, videos, num_threads=number, num_ahead=number, name="decode")


def _decode(decoder: MediaDecoder, path: Path, job: TuneJob) -> DecodedClip | DecodeError:
    """The clip, or why there is nothing to learn from it in the encoder's stream."""
    try:
        clip = decoder.decode(path, job.spec.view, audio=job.spec.modality is Modality.AUDIO)
    except DecodeError as error:
        log.warning("%s is left out (%s): %s", path, error.kind, error)
        return error
    there = clip.waveform if job.spec.modality is Modality.AUDIO else clip.frames
    return DecodeError(f"{path} has no {job.stream} stream", kind="absent") if there is None else clip
