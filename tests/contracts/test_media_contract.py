"""Every real file, good or bad: decoded to exact lengths, or refused with a reason. Never a crash or a hang."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from iamsb_core.media.clip import DecodedClip, DecodeError, FrameView
from iamsb_core.media.isolation import MediaDecoder, MediaLimits
from iamsb_core.timeline import TimeGrid

VIEW = FrameView(size_pixels=96)

REFUSED = {
    "nasty/empty_0_bytes.webm": "empty",
    "nasty/git_lfs_pointer.mp4": "pointer-file",
    "nasty/mp4parse_chunk_out_of_range.mp4": "damaged",
    "nasty/stub_44_bytes.mp4": "truncated",
    "nasty/text_header_mp4.mp4": "not-media",
}
UNLIKE_THE_CATALOG = {
    "nasty/truncated_mdat_silent_audio.mp4": 4.44,  # the header's 6.31 s are not there
    "nasty/starts_at_8p27s.mp4": 11.80,  # the catalog counts from 0; 11.8 s of content
    "nasty/two_video_two_audio_streams.mp4": 13.056,  # the second streams last 16.57 s
    "nasty/two_video_rotated90.mp4": 13.056,
    "nasty/ax_audio_only_opus_mp4.mp4": 1.003,  # 45 packets of 1.46 s are hidden by the edit list
}
"""seconds, each with why CATALOG.csv says otherwise"""


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    with MediaDecoder(MediaLimits(timeout_seconds=60, timeout_per_second=10)) as running:
        yield running


def check(name: str, clip: DecodedClip) -> None:
    """The promises that hold for every clip whatever its file."""
    duration = clip.duration_seconds
    assert duration == clip.probe.duration_seconds > 0, name
    assert clip.waveform is not None or clip.frames is not None, name
    if clip.waveform is not None:
        assert clip.waveform.shape == (round(duration * 16_000),), name
        assert clip.waveform.dtype == np.float32, name
        assert np.abs(clip.waveform).max() <= 1.0, name
    if clip.frames is not None:
        assert clip.frame_grid == TimeGrid.covering(duration, 1 / 25), name
        cells = clip.frame_grid.num_cells
        assert clip.frames.shape == (cells, 96, 96, 3), name
        assert clip.frame_boxes is not None, name
        assert clip.frame_boxes.shape == (cells, 4), name
        assert clip.face_found is not None, name
        assert clip.face_found.shape == (cells,), name
    assert (clip.frames is None) == (clip.reader == "none"), name
    assert (clip.waveform is None) <= any("sound" in warning for warning in clip.warnings), name


@pytest.mark.media
def test_every_file_is_decoded_exactly_or_refused_with_a_reason(media_folder: Path, decoder: MediaDecoder) -> None:
    with (media_folder / "CATALOG.csv").open(newline="") as file:
        catalog = {row["file"]: row for row in csv.DictReader(file)}
    assert len(catalog) == 90
    refused, readers = {}, {}
    for name, row in catalog.items():
        if float(row["duration_s"] or 0) > 21:
            continue  # two long files cost a third of the time and add nothing
        try:
            clip = decoder.decode(media_folder / name, VIEW)
        except DecodeError as error:
            refused[name] = error.kind
            continue
        check(name, clip)
        readers[name] = clip.reader
        declared = UNLIKE_THE_CATALOG.get(name, float(row["duration_s"] or clip.duration_seconds))
        assert clip.duration_seconds == pytest.approx(declared, abs=0.1), name
        assert clip.probe.video_codec is None or (clip.probe.width, clip.probe.height) == (
            int(row["width"]),
            int(row["height"]),
        ), name
    assert refused == REFUSED
    assert sum(reader == "decord" for reader in readers.values()) > 40


@pytest.mark.media
def test_a_forged_gap_lies_where_the_catalog_says(media_folder: Path, decoder: MediaDecoder) -> None:
    # masked.wav is target.wav with 0.937-1.728 s zeroed
    folder = media_folder / "local_audio_forgery"
    clean = decoder.decode(folder / "grid_inpaint_800ms_ex1_target.wav", None).waveform
    masked = decoder.decode(folder / "grid_inpaint_800ms_ex1_masked.wav", None).waveform
    assert clean is not None
    assert masked is not None
    differing = np.flatnonzero(clean != masked) / 16_000
    assert differing[0] == pytest.approx(0.937, abs=0.002)
    assert differing[-1] == pytest.approx(1.728, abs=0.002)


@pytest.mark.media
def test_picture_and_sound_of_one_utterance_agree_over_two_containers(
    media_folder: Path, decoder: MediaDecoder
) -> None:
    # the forged GRID clip carries the sound of the genuine one, 10.7 ms earlier (CATALOG.csv): MPEG against MP4
    genuine = decoder.decode(media_folder / "real" / "grid_bbaf2n.mpg", None).waveform
    forged = decoder.decode(media_folder / "forged" / "dve_grid_bbaf2n_FAKE.mp4", None).waveform
    assert genuine is not None
    assert forged is not None
    length = min(len(genuine), len(forged))
    spectrum = np.fft.rfft(genuine[:length], 2 * length) * np.conj(np.fft.rfft(forged[:length], 2 * length))
    lag = int(np.fft.fftshift(np.fft.irfft(spectrum)).argmax()) - length
    assert abs(lag) / 16_000 < 0.013
