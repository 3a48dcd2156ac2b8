"""Genuine recordings for forging: decoded from files, each once, or drawn."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iamsb_core.datasets.media_files import VIDEO_SUFFIXES, find_media, listing
from iamsb_core.digest import file_sha256
from iamsb_core.forgery.config import FRAME_RATE_HZ, SAMPLES_PER_FRAME, SIZE_PIXELS, ForgeConfig
from iamsb_core.forgery.face_region import track_face
from iamsb_core.forgery.identities import people_of
from iamsb_core.forgery.recording import Recording, is_saved, save_recording
from iamsb_core.media.clip import DecodedClip, DecodeError, FrameView
from iamsb_core.media.isolation import MediaDecoder

log = logging.getLogger(__name__)

_SILENCE = 1e-3


@dataclass(frozen=True, slots=True)
class Source:
    """A file to forge from, or (media None) a person to draw."""

    key: str
    """its folder's name while forging"""
    name: str
    person: str
    sha256: str
    media: Path | None


def list_sources(media: Path, identities: Path | None) -> tuple[Source, ...]:
    """Every video below the folder, with its person. Raises ValueError where there is none."""
    if not media.is_dir():
        what = "is a file, not a folder" if media.exists() else "does not exist"
        raise ValueError(f"{media} {what}; give a folder of genuine videos of people speaking")
    paths = find_media(media, VIDEO_SUFFIXES)
    if not paths:
        raise ValueError(f"no video in {media}, only {listing(media)}; give a folder of genuine videos")
    people = people_of(paths, media, identities)
    chosen = [path for path in paths if path in people]
    return tuple(
        Source(f"s{i:05d}", path.as_posix(), people[path], file_sha256(media / path), media / path)
        for i, path in enumerate(chosen)
    )


def drawn_sources(config: ForgeConfig) -> tuple[Source, ...]:
    """The people to draw, once for each take: the takes of a person follow one another."""
    synthetic = config.synthetic
    number = synthetic.num_people if config.num_people is None else config.num_people
    people = [drawn_name(i // synthetic.takes_per_person) for i in range(number * synthetic.takes_per_person)]
    return tuple(Source(f"s{i:05d}", person, person, "", None) for i, person in enumerate(people))


def drawn_name(person: int) -> str:
    """What drawn person number `person` is called."""
    return f"drawn/person_{person:03d}"


def some_people(sources: tuple[Source, ...], num_people: int | None, seed: int) -> tuple[Source, ...]:
    """The sources of num_people people, drawn by the seed; all of them where it is None.

    Raises ValueError where there are fewer people.
    """
    if num_people is None:
        return sources
    people = sorted({source.person for source in sources})
    if len(people) < num_people:
        raise ValueError(f"{num_people} people are wanted and the folder has {len(people)}; ask for fewer")
    chosen = np.random.default_rng([seed, 0x9E09]).choice(len(people), num_people, replace=False)
    wanted = {people[i] for i in chosen}
    return tuple(source for source in sources if source.person in wanted)


def decode_sources(
    sources: tuple[Source, ...],
    folder: Path,
    config: ForgeConfig,
    *,
    num_workers: int,
    tell: Callable[[], None],
) -> tuple[tuple[str, str], ...]:
    """Decode each source that is not yet in the folder; returns (name, reason) of those that cannot be used.

    Each thread has a decoder of its own, which is a process that may crash without harm.
    """
    waiting: queue.SimpleQueue[Source] = queue.SimpleQueue()
    for source in sources:
        waiting.put(source)
    with ThreadPoolExecutor(max(1, min(num_workers, len(sources)))) as pool:
        runs = [pool.submit(_decode_waiting, waiting, folder, config, tell) for _ in range(max(1, num_workers))]
        skipped = [item for run in runs for item in run.result()]
    return tuple(sorted(skipped))


def _decode_waiting(
    waiting: queue.SimpleQueue[Source], folder: Path, config: ForgeConfig, tell: Callable[[], None]
) -> list[tuple[str, str]]:
    skipped: list[tuple[str, str]] = []
    with MediaDecoder(workdir=folder) as decoder:
        while True:
            try:
                source = waiting.get_nowait()
            except queue.Empty:
                return skipped
            if not is_saved(folder / source.key):
                try:
                    save_recording(_decode(decoder, source, config), folder / source.key)
                except (DecodeError, ValueError) as error:
                    log.warning("%s cannot be forged from: %s", source.name, error)
                    skipped.append((source.name, str(error)))
            tell()


def _decode(decoder: MediaDecoder, source: Source, config: ForgeConfig) -> Recording:
    assert source.media is not None
    view = FrameView(rate_hz=FRAME_RATE_HZ, size_pixels=SIZE_PIXELS, crop="face")
    return as_recording(decoder.decode(source.media, view=view, audio=True), source, config)


def as_recording(clip: DecodedClip, source: Source, config: ForgeConfig) -> Recording:
    """Cut to whole frames that have sound. Raises ValueError with the reason where the clip cannot be used."""
    if clip.frames is None or clip.waveform is None:
        raise ValueError(f"it has no {'picture' if clip.frames is None else 'sound'}; a forgery needs both")
    num_frames = min(len(clip.frames), len(clip.waveform) // SAMPLES_PER_FRAME)
    num_frames = min(num_frames, int(config.max_source_seconds * FRAME_RATE_HZ))
    if num_frames < config.min_source_seconds * FRAME_RATE_HZ:
        raise ValueError(
            f"it lasts {num_frames / FRAME_RATE_HZ:.2f} s; at least {config.min_source_seconds} s are needed"
        )
    waveform = clip.waveform[: num_frames * SAMPLES_PER_FRAME]
    if float(np.abs(waveform).max()) < _SILENCE:
        raise ValueError("it is silent; there is no speech to forge")
    frames = clip.frames[:num_frames]
    return Recording(source.name, source.person, frames, np.asarray(waveform, dtype=np.float32), track_face(frames))
