"""The truth, read from the media itself: outside a segment the decoded clip is the genuine one, inside it is not.

Both clips go through the encoder with the same settings, and through the decoder that everything else uses. What is
measured of pictures is the most changed 16 x 16 block (grey levels), of sound the level of the difference in cells of
20 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from iamsb_core.forgery.audio_edits import forge_audio
from iamsb_core.forgery.config import (
    AUDIO_METHODS,
    VISUAL_METHODS,
    AudioMethod,
    EncodingConfig,
    ForgeConfig,
    VisualMethod,
)
from iamsb_core.forgery.encode import encode_clip
from iamsb_core.forgery.recording import Recording
from iamsb_core.forgery.sources import Source, as_recording
from iamsb_core.forgery.synthetic import draw_recording
from iamsb_core.forgery.visual_edits import forge_frames
from iamsb_core.media.clip import DecodedClip, FrameView
from iamsb_core.media.isolation import MediaDecoder

FIRST, LAST = 10, 55
"""frames of the recording that the clip shows"""
START, STOP = 14, 32
"""forged frames of the clip"""
CELL = 320
AAC_REACH = 2048
"""samples: two frames of the codec overlap every sample"""
KINDS = ["drawn", pytest.param("real", marks=pytest.mark.media)]


@dataclass(frozen=True)
class Bench:
    """Somebody to forge, somebody to take from, and the genuine clip after the codec."""

    own: Recording
    other: Recording
    genuine: DecodedClip
    lossless: DecodedClip
    """the same at CRF 0"""
    code: Callable[..., DecodedClip]

    @property
    def frames(self) -> NDArray[np.uint8]:
        return np.asarray(self.own.frames[FIRST:LAST])

    @property
    def waveform(self) -> NDArray[np.float32]:
        return self.own.waveform[FIRST * 640 : LAST * 640]


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    with MediaDecoder() as decoder:
        yield decoder


@pytest.fixture(scope="module", params=KINDS)
def bench(request: pytest.FixtureRequest, decoder: MediaDecoder, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    path = tmp_path_factory.mktemp("truth") / "clip.mp4"

    def code(frames: NDArray[np.uint8], waveform: NDArray[np.float32], **settings: int) -> DecodedClip:
        encode_clip(path, frames, waveform, EncodingConfig(**settings))
        return decoder.decode(path, FrameView(crop="centre"), audio=True)

    own, other = people(request, decoder)
    frames, waveform = np.asarray(own.frames[FIRST:LAST]), own.waveform[FIRST * 640 : LAST * 640]
    return Bench(own, other, code(frames, waveform), code(frames, waveform, crf=0), code)


def people(request: pytest.FixtureRequest, decoder: MediaDecoder) -> tuple[Recording, Recording]:
    if request.param == "drawn":
        return draw_recording(0, 4.0, seed=1), draw_recording(1, 4.0, seed=1)
    folder: Path = request.getfixturevalue("media_folder") / "real"

    def recording(name: str) -> Recording:
        source = Source(name, name, name, "", folder / name)
        return as_recording(decoder.decode(folder / name, FrameView(), audio=True), source, ForgeConfig())

    return recording("vox_00067.mp4"), recording("vretalk_face5.mp4")


def change_of_pictures(genuine: DecodedClip, forged: DecodedClip) -> NDArray[np.float64]:
    """(num_frames,) mean change of each frame's most changed block."""
    assert genuine.frames is not None
    assert forged.frames is not None
    change = np.abs(forged.frames.astype(float) - genuine.frames).mean(axis=3)
    return change.reshape(-1, 14, 16, 14, 16).mean(axis=(2, 4)).max(axis=(1, 2))


def change_of_sound(genuine: DecodedClip, forged: DecodedClip) -> NDArray[np.float64]:
    """(num_cells,) level of the difference."""
    assert genuine.waveform is not None
    assert forged.waveform is not None
    return level_of(forged.waveform - genuine.waveform)


def level_of(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """(num_cells,) root mean square of each cell."""
    cells = sound[: len(sound) // CELL * CELL].reshape(-1, CELL).astype(float)
    return np.sqrt((cells**2).mean(axis=1))


def forged_frames(bench: Bench, method: VisualMethod) -> NDArray[np.uint8]:
    return forge_frames(
        bench.frames,
        FIRST,
        (START, STOP),
        method,
        recording=bench.own,
        others=(bench.other,),
        fade_frames=1,
        rng=np.random.default_rng(2),
    )


@pytest.mark.parametrize("method", VISUAL_METHODS)
def test_pictures_differ_inside_and_nowhere_else(bench: Bench, method: VisualMethod) -> None:
    forged = bench.code(forged_frames(bench, method), bench.waveform)
    change = change_of_pictures(bench.genuine, forged)
    outside = np.concatenate([change[:START], change[STOP:]])
    assert outside.max() < 9.0, "what coding at CRF 23 alone makes of a picture whose neighbours changed"
    assert np.median(change[START:STOP]) > 1.3 * outside.max()
    assert np.array_equal(forged.waveform, bench.genuine.waveform), "the sound of it is the genuine sound"


@pytest.mark.parametrize("method", VISUAL_METHODS)
def test_the_borders_of_pictures_are_exact_to_the_frame(bench: Bench, method: VisualMethod) -> None:
    """Without loss (CRF 0) exactly the frames of the segment differ, the half-mixed ones at its ends included."""
    forged = bench.code(forged_frames(bench, method), bench.waveform, crf=0)
    change = change_of_pictures(bench.lossless, forged)
    assert (change[:START] == 0).all()
    assert (change[STOP:] == 0).all()
    assert (change[[START, STOP - 1]] > 0.5).all()
    assert (change[START:STOP] > 0.1).mean() > 0.9  # a frame that was put in its own place does not differ


@pytest.mark.parametrize("method", AUDIO_METHODS)
def test_sound_differs_inside_and_nowhere_else(bench: Bench, method: AudioMethod) -> None:
    start, stop = 12_345, 22_000
    waveform = forge_audio(
        bench.waveform,
        FIRST * 640,
        (start, stop),
        method,
        recording=bench.own,
        others=(bench.other,),
        fade_samples=160,
        rng=np.random.default_rng(2),
    )
    forged = bench.code(bench.frames, waveform)
    change = change_of_sound(bench.genuine, forged)
    level = float(np.sqrt((bench.waveform**2).mean()))
    first, last = start // CELL, (stop - 1) // CELL
    inside = float(np.median(change[first + 1 : last]))
    assert inside > 0.08 * level
    outside = np.concatenate([change[:first], change[last + 1 :]])
    coding = float(level_of(bench.genuine.waveform - bench.waveform).max())  # type: ignore[operator]
    assert outside.max() < 3 * coding, "what coding does to the genuine clip itself, where it does most"
    before, after = change[: (start - AAC_REACH) // CELL], change[-(-(stop + AAC_REACH) // CELL) :]
    assert np.quantile(np.concatenate([before, after]), 0.75) < 0.01 * level
    assert before.max() < 1e-3 * level, "before the codec's window reaches the segment nothing is changed"
    border = np.flatnonzero(change > 0.2 * inside)
    assert abs(border[0] - first) <= 1, "the segment begins in the cell where the truth says"
    assert border[border <= last + 1][-1] >= last - 1, "and ends there"
    assert np.array_equal(forged.frames, bench.genuine.frames), "the pictures of it are the genuine ones"
