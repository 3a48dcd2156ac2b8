"""Every real file, good or bad: decoded to exact lengths, or refused with a reason. Never a crash or a hang."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from iamsb_core.media.clip import DecodedClip, DecodeError, FrameView, MediaProbe
from iamsb_core.media.isolation import MediaDecoder, MediaLimits
from iamsb_core.timeline import TimeGrid

VIEW = FrameView(size_pixels=96)

QUICK_MEGAPIXELS = 100
"""larger files hold seven eighths of all pixels and nothing that the smaller ones don't: probed here, decoded in
the slow test"""
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


def read_catalog(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "CATALOG.csv").open(newline="") as file:
        catalog = {row["file"]: row for row in csv.DictReader(file)}
    assert len(catalog) == 90
    return catalog


def megapixels(row: dict[str, str]) -> float:
    """All pictures of a file together."""
    numbers = [float(row[column] or 0) for column in ("duration_s", "avg_fps", "width", "height")]
    return float(np.prod(numbers)) / 1e6


def check_probe(name: str, found: MediaProbe, row: dict[str, str]) -> None:
    """The container's facts against the catalog's, which another program wrote."""
    declared = UNLIKE_THE_CATALOG.get(name, float(row["duration_s"] or found.duration_seconds))
    assert found.duration_seconds == pytest.approx(declared, abs=0.1), name
    if found.video_codec is not None:
        assert (found.width, found.height) == (int(row["width"]), int(row["height"])), name
    if found.audio_codec is not None and row["sample_rate"]:
        assert (found.sample_rate_hz, found.num_channels) == (int(row["sample_rate"]), int(row["channels"])), name


@pytest.mark.media
def test_every_file_is_decoded_exactly_or_refused_with_a_reason(media_folder: Path, decoder: MediaDecoder) -> None:
    refused, readers = {}, {}
    for name, row in read_catalog(media_folder).items():
        try:
            if megapixels(row) > QUICK_MEGAPIXELS:
                check_probe(name, decoder.probe(media_folder / name), row)
                continue
            clip = decoder.decode(media_folder / name, VIEW)
        except DecodeError as error:
            refused[name] = error.kind
            continue
        check(name, clip)
        check_probe(name, clip.probe, row)
        readers[name] = clip.reader
    assert refused == REFUSED
    assert len(readers) == 70
    assert sum(reader == "decord" for reader in readers.values()) >= 35


@pytest.mark.media
@pytest.mark.slow
def test_the_large_files_are_decoded_exactly(media_folder: Path, decoder: MediaDecoder) -> None:
    for name, row in read_catalog(media_folder).items():
        if megapixels(row) > QUICK_MEGAPIXELS:
            check(name, decoder.decode(media_folder / name, VIEW))


@pytest.mark.media
def test_a_forged_gap_lies_where_the_catalog_says(media_folder: Path, decoder: MediaDecoder) -> None:
    # the gap of 0.937-1.728 s is the longest silence of masked.wav
    path = media_folder / "local_audio_forgery" / "grid_inpaint_800ms_ex1_masked.wav"
    waveform = decoder.decode(path, None).waveform
    assert waveform is not None
    heard = np.flatnonzero(waveform)
    longest = int(np.diff(heard).argmax())
    assert heard[longest] / 16_000 == pytest.approx(0.937, abs=0.003)
    assert heard[longest + 1] / 16_000 == pytest.approx(1.728, abs=0.003)


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
