"""The handcrafted audio encoder: exact grids, independence of chunks and batch mates, and what its columns say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from iamsb_core.encoders import prediction, spectra
from iamsb_core.encoders.handcrafted_audio import HandcraftedAudioEncoder
from iamsb_core.encoders.load import encoder_specs
from iamsb_core.media.clip import DecodedClip, MediaProbe
from iamsb_core.timeline import TimeGrid

SPEC = encoder_specs("handcrafted")[0]
CPU = torch.device("cpu")
PROBE = MediaProbe(
    sha256="0" * 64, size_bytes=0, duration_seconds=0.0, container="wav", num_video_streams=0, num_audio_streams=1,
    video_codec=None, width=0, height=0, rotation_degrees=0, num_video_frames=0, average_fps=0.0,
    variable_frame_rate=False, video_start_seconds=0.0, audio_codec="pcm", sample_rate_hz=16_000, num_channels=1,
    audio_start_seconds=0.0,
)  # fmt: skip


def clip_of(waveform: np.ndarray | None, duration_seconds: float | None = None) -> DecodedClip:
    seconds = len(waveform) / 16_000 if waveform is not None and duration_seconds is None else duration_seconds
    return DecodedClip(
        probe=PROBE, duration_seconds=seconds or 1.0, waveform=waveform, frames=None, frame_boxes=None,
        face_found=None, frame_grid=None, reader="none",
    )  # fmt: skip


def voice(num_samples: int, seed: int = 0) -> np.ndarray:
    """Pulses at a wandering pitch through two resonances, with pauses and noise."""
    rng = np.random.default_rng(seed)
    pitch_hz = 120 + 20 * np.sin(np.arange(num_samples) / 4000)
    pulses = np.diff(np.floor(np.cumsum(pitch_hz) / 16_000), prepend=0.0)
    time_ms = np.arange(160) / 16.0
    ringing = np.exp(-time_ms / 2) * (np.sin(2 * np.pi * 0.7 * time_ms) + 0.5 * np.sin(2 * np.pi * 1.9 * time_ms))
    loud = np.sin(np.arange(num_samples) / 9000) > -0.6
    speech = np.convolve(pulses, ringing)[:num_samples] * 0.3 * loud
    return (speech + rng.normal(0, 0.002, num_samples)).astype(np.float32)


@pytest.fixture(scope="module")
def encoder() -> HandcraftedAudioEncoder:
    return HandcraftedAudioEncoder(SPEC, CPU)


def test_shape_published_is_shape_given(encoder: HandcraftedAudioEncoder) -> None:
    (track,) = encoder.encode([clip_of(voice(32_000))])
    stream = encoder.stream
    assert track.fine is not None
    assert track.main.values.shape == (100, stream.dim)
    assert track.fine.values.shape == (400, stream.fine_dim)
    assert (stream.hop_seconds, stream.fine_hop_seconds) == (0.02, 0.005)
    assert 150 <= stream.dim <= 250
    assert 24 <= stream.fine_dim <= 32
    assert track.main.values.dtype == track.fine.values.dtype == np.float32


@pytest.mark.parametrize("num_samples", [0, 1, 159, 161, 320, 479, 480, 799, 16_001])
def test_both_grids_are_exact_for_any_length(encoder: HandcraftedAudioEncoder, num_samples: int) -> None:
    seconds = max(num_samples, 1) / 16_000
    (track,) = encoder.encode([clip_of(voice(num_samples + 1)[:num_samples], seconds)])
    assert track.fine is not None
    assert track.main.grid == TimeGrid.covering(seconds, 0.02)
    assert track.fine.grid == TimeGrid.covering(seconds, 0.005)
    assert np.isfinite(track.main.values).all()
    assert np.isfinite(track.fine.values).all()


def test_chunks_do_not_show() -> None:
    clip = clip_of(voice(16_000 * 4))
    whole, pieces = (HandcraftedAudioEncoder(SPEC, CPU, cells_per_pass=cells).encode([clip])[0] for cells in (1500, 23))
    assert whole.fine is not None
    assert pieces.fine is not None
    np.testing.assert_allclose(pieces.main.values, whole.main.values, atol=1e-4)
    np.testing.assert_allclose(pieces.fine.values, whole.fine.values, atol=1e-4)


def test_alone_or_in_a_batch(encoder: HandcraftedAudioEncoder) -> None:
    clips = [clip_of(voice(size, seed)) for seed, size in enumerate((20_000, 3_000, 41_000))]
    for clip, track in zip(clips, encoder.encode(clips), strict=True):
        np.testing.assert_array_equal(encoder.encode([clip])[0].main.values, track.main.values)


@pytest.mark.parametrize("level", [0.0, 1e-9, 1.0])
def test_silence_and_constants_are_finite_and_dull(encoder: HandcraftedAudioEncoder, level: float) -> None:
    (track,) = encoder.encode([clip_of(np.full(32_000, level, dtype=np.float32))])
    assert track.fine is not None
    assert np.abs(track.main.values).max() < 1.5
    assert np.abs(track.fine.values).max() < 1.5


def test_loudness_of_the_recording_does_not_matter(encoder: HandcraftedAudioEncoder) -> None:
    """A gain moves every log energy alike, which the surroundings take away; only the -100 dB floor remains."""
    quiet, loud = (encoder.encode([clip_of(voice(48_000) * gain)])[0].main.values for gain in (1.0, 4.0))
    assert np.abs(quiet - loud).mean() < 0.01


def test_a_splice_shows_where_it_is(encoder: HandcraftedAudioEncoder) -> None:
    """Half a second of another voice at 1.0 s: the cells that differ are those, and what their windows reach."""
    genuine, forged = voice(48_000), voice(48_000)
    forged[16_000:24_000] = voice(48_000, seed=5)[3_000:11_000] * 0.7
    measured = [encoder.measure(waveform, 150) for waveform in (genuine, forged)]
    differ = np.zeros(150, dtype=bool)
    for name, block in measured[0].items():
        differ |= (np.abs(block - measured[1][name]) > 1e-4).any(axis=1)
    assert differ[50:75].all()
    assert not differ[:46].any()
    assert not differ[79:].any()


def test_a_missing_waveform_is_refused(encoder: HandcraftedAudioEncoder) -> None:
    with pytest.raises(ValueError, match="no audio stream"):
        encoder.encode([clip_of(None, 1.0)])


def test_a_steady_tone_has_a_regular_phase_and_noise_has_not() -> None:
    """1000 Hz advances by a constant phase: the second difference in its own bins is zero, in noise about a fifth."""
    time = torch.arange(16_000) / 16_000
    tone = torch.sin(2 * torch.pi * 1000 * time)
    noise = torch.randn(16_000, generator=torch.Generator().manual_seed(0))
    bends = [
        spectra.irregularities(spectra.spectrum(spectra.frames(x, width=320, hop=40, margin=320)))[0]
        for x in (tone, noise)
    ]
    assert bends[0][:, 20].max() < 1e-3
    assert 0.05 < float(bends[1].mean()) < 0.5


def test_irregularity_is_the_angle_of_three_neighbours_product() -> None:
    """Against the angle of a number that has it: z[-1] z[+1] conj(z[0])^2, of a voice that begins after silence."""
    samples = np.concatenate([np.zeros(1_000, np.float32), voice(4_000)])
    framed = spectra.frames(torch.from_numpy(samples), width=320, hop=40, margin=320)
    spectrum = spectra.spectrum(framed)
    exact = spectrum.numpy().astype(np.complex128)
    phasors = exact / (np.abs(exact) + 1e-12)
    for axis, found in enumerate(spectra.irregularities(spectrum)):
        lined = np.moveaxis(phasors, axis, 0)
        product = lined[:-2] * lined[2:] * lined[1:-1].conj() ** 2
        bend = np.where(np.abs(product) > 0.5, np.abs(np.angle(product)) / np.pi, 0.5)
        inside = np.moveaxis(found.numpy(), axis, 0)
        np.testing.assert_allclose(inside[1:-1], bend, atol=2e-6)
        np.testing.assert_array_equal(inside[[0, -1]], inside[[1, -2]])


def test_spectrum_of_white_noise_is_its_power() -> None:
    noise = 0.1 * torch.randn(64_000, generator=torch.Generator().manual_seed(1))
    density = spectra.power(spectra.spectrum(spectra.frames(noise, width=512, hop=160, margin=320)))
    assert float(density[:, 1:-1].mean()) == pytest.approx(0.01, rel=0.03)


def test_mel_triangles_and_linear_bands_average() -> None:
    for bank in (spectra.mel_bands(257, 20, 8000.0), spectra.linear_bands(257, [0, 8, 100, 257])):
        torch.testing.assert_close(bank.sum(dim=0), torch.ones(bank.shape[1]))
        assert (bank >= 0).all()


def test_slope_of_a_ramp_is_its_step() -> None:
    ramp = 3.0 * torch.arange(9.0)[:, None]
    torch.testing.assert_close(spectra.deltas(ramp)[2:-2], torch.full((5, 1), 3.0))


def test_levinson_solves_the_normal_equations() -> None:
    """Against a direct solution of R a = -r by NumPy."""
    noise = torch.randn(5, 480, generator=torch.Generator().manual_seed(2))
    framed = torch.nn.functional.avg_pool1d(noise[None], 3, stride=1, padding=1)[0]
    coefficients, _, lags = prediction.predictor(framed)
    order = prediction.ORDER
    index = np.abs(np.arange(order)[:, None] - np.arange(order))
    for row, autocorrelation in zip(coefficients.numpy(), lags.double().numpy(), strict=True):
        direct = np.linalg.solve(autocorrelation[index], -autocorrelation[1:])
        np.testing.assert_allclose(row[1:], direct, atol=2e-4)


def test_residual_of_an_autoregression_is_its_innovation() -> None:
    """x[n] = 1.2 x[n-1] - 0.6 x[n-2] + e[n] filtered with (1, -1.2, 0.6) gives e back."""
    innovation = np.random.default_rng(3).normal(size=600)
    signal = np.zeros(600)
    for n in range(600):
        signal[n] = 1.2 * signal[n - 1] - 0.6 * signal[n - 2] + innovation[n] if n > 1 else innovation[n]
    error_filter = torch.zeros(1, prediction.ORDER + 1)
    error_filter[0, :3] = torch.tensor([1.0, -1.2, 0.6])
    left_over = prediction.residual(torch.tensor(signal, dtype=torch.float32)[None], error_filter)
    np.testing.assert_allclose(left_over[0].numpy(), innovation[prediction.ORDER :], atol=1e-4)


def test_neighbours_that_agree_are_at_distance_zero() -> None:
    frame = torch.randn(1, 480, generator=torch.Generator().manual_seed(4))
    other = torch.sin(torch.arange(480.0) / 5)[None] + 0.1 * frame
    coefficients, _, lags = prediction.predictor(torch.cat([frame, frame, other]))
    distance = prediction.neighbour_distances(coefficients, lags)
    torch.testing.assert_close(distance[1, 0], torch.tensor(0.0), atol=1e-4, rtol=0)
    assert (distance[2, 0] > 0.5) & (distance[1, 1] > 0.1)
