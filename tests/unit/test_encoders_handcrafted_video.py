"""The handcrafted video encoder: exact grid, independence of chunks and batch mates, and what its columns say."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from iamsb_core.encoders import pictures
from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.encoders.cosines import BandEnergies
from iamsb_core.encoders.face_measures import FaceMeasures
from iamsb_core.encoders.handcrafted_video import HandcraftedVideoEncoder
from iamsb_core.encoders.load import encoder_specs
from iamsb_core.encoders.pictures import Planes
from iamsb_core.encoders.regions import ALL, AROUND, MOUTH, REGIONS, RegionMeans, block_means, region_weights
from iamsb_core.media.clip import DecodedClip, FrameView, MediaProbe
from iamsb_core.timeline import TimeGrid

SPEC = encoder_specs("handcrafted")[1]
CPU = torch.device("cpu")
PROBE = MediaProbe(
    sha256="0" * 64, size_bytes=0, duration_seconds=0.0, container="mp4", num_video_streams=1, num_audio_streams=0,
    video_codec="h264", width=64, height=64, rotation_degrees=0, num_video_frames=0, average_fps=25.0,
    variable_frame_rate=False, video_start_seconds=0.0, audio_codec=None, sample_rate_hz=0, num_channels=0,
    audio_start_seconds=0.0,
)  # fmt: skip
MOUTH_PIXELS = tuple(slice(8 * s.start, 8 * s.stop) for s in REGIONS["mouth"][0])


def clip_of(frames: np.ndarray | None) -> DecodedClip:
    grid = TimeGrid(0.04, 25 if frames is None else len(frames))
    return DecodedClip(
        probe=PROBE, duration_seconds=grid.duration_seconds, waveform=None, frames=frames, frame_boxes=None,
        face_found=None, frame_grid=grid, reader="pyav",
    )  # fmt: skip


def film(num_frames: int, seed: int = 0) -> np.ndarray:
    """A texture that drifts, under fresh noise, (num_frames, 224, 224, 3) uint8."""
    rng = np.random.default_rng(seed)
    texture = np.kron(rng.integers(60, 200, (40, 40, 3)), np.ones((8, 8, 1)))
    texture = (texture + np.roll(texture, 3, axis=0) + np.roll(texture, 4, axis=1)) / 3
    frames = [texture[i % 80 : i % 80 + 224, i // 2 % 90 : i // 2 % 90 + 224] for i in range(num_frames)]
    return np.clip(np.stack(frames) + rng.normal(0, 4, (num_frames, 224, 224, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def encoder() -> HandcraftedVideoEncoder:
    return HandcraftedVideoEncoder(SPEC, CPU)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 30])
def test_shape_published_is_shape_given(encoder: HandcraftedVideoEncoder, num_frames: int) -> None:
    (track,) = encoder.encode([clip_of(film(num_frames))])
    assert track.main.values.shape == (num_frames, encoder.stream.dim)
    assert track.main.values.dtype == np.float32
    assert track.main.grid == TimeGrid(0.04, num_frames)
    assert track.fine is None
    assert encoder.stream.hop_seconds == 0.04
    assert 120 <= encoder.stream.dim <= 200
    assert np.isfinite(track.main.values).all()


def test_chunks_do_not_show() -> None:
    clip = clip_of(film(31))
    whole, pieces = (
        HandcraftedVideoEncoder(SPEC, CPU, frames_per_pass=count).encode([clip])[0].main.values for count in (31, 4)
    )
    np.testing.assert_allclose(pieces, whole, atol=1e-4, rtol=1e-4)


def test_alone_or_in_a_batch_and_from_a_memory_map(encoder: HandcraftedVideoEncoder, tmp_path: Path) -> None:
    films = [film(count, seed) for seed, count in enumerate((9, 1, 27))]
    together = encoder.encode([clip_of(frames) for frames in films])
    for frames, track in zip(films, together, strict=True):
        np.save(tmp_path / "frames.npy", frames)
        mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
        np.testing.assert_array_equal(encoder.encode([clip_of(mapped)])[0].main.values, track.main.values)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_film_is_zero_everywhere(encoder: HandcraftedVideoEncoder, grey: int) -> None:
    (track,) = encoder.encode([clip_of(np.full((12, 224, 224, 3), grey, dtype=np.uint8))])
    assert np.abs(track.main.values).max() < 1e-3


def test_a_softened_mouth_shows_in_the_mouths_sharpness(encoder: HandcraftedVideoEncoder) -> None:
    """Cells 10 to 19 have the mouth blurred: exactly there it loses to the ring around it."""
    frames = film(40)
    mouth = frames[10:20, *MOUTH_PIXELS]
    frames[10:20, *MOUTH_PIXELS] = gaussian_filter(mouth.astype(float), sigma=(0, 2, 2, 0)).astype(np.uint8)
    contrast = encoder.measure(frames)["mouth_sharpness"][:, AROUND - 1]
    soft = np.zeros(40, dtype=bool)
    soft[10:20] = True
    assert contrast[soft].max() < contrast[~soft].min() - 1.0


def test_a_picture_shown_twice_shows(encoder: HandcraftedVideoEncoder) -> None:
    frames = film(20)
    frames[8] = frames[7]
    measured = encoder.measure(frames)
    still_share = measured["change"][:, -1]
    assert still_share[8] == 1.0
    assert np.delete(still_share, 8).max() < 0.9
    assert measured["noise_agreement"][8, ALL] > 0.99


def test_flow_finds_a_shift() -> None:
    """A smooth pattern that moves right by one pixel of the quarter-size picture: u = 1 there, v = 0."""
    across, down = np.meshgrid(np.arange(224), np.arange(224))
    wave = [128 + 60 * np.sin((across - 4 * shift) / 15) + 50 * np.sin(down / 13) for shift in (0, 1)]
    frames = torch.tensor(np.repeat(np.stack(wave)[..., None], 3, axis=3).round(), dtype=torch.uint8)
    measured = FaceMeasures(CPU)(frames)
    assert float(measured["speed"][1, ALL].exp()) == pytest.approx(1.0, rel=0.1)
    assert float(measured["unexplained"][1, ALL]) < float(measured["change"][1, ALL]) - 1.0


def test_regions_average_their_blocks() -> None:
    weights = region_weights()
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(len(REGIONS)))
    picture = torch.zeros(1, 224, 224)
    picture[0][MOUTH_PIXELS] = 5.0
    means = (block_means(picture) @ weights)[0]
    assert means[MOUTH] == 5.0
    assert means[AROUND] == 0.0
    assert means[ALL] == pytest.approx(5.0 * 80 / 784)


def slow_band_energies(picture: np.ndarray) -> np.ndarray:
    """(784, 6): SciPy's transform of each block, its energies averaged over the orders of a band."""
    order = np.add.outer(np.arange(8), np.arange(8))
    blocks = picture.reshape(28, 8, 28, 8).transpose(0, 2, 1, 3).reshape(-1, 8, 8)
    energies = dctn(blocks, axes=(1, 2), norm="ortho") ** 2
    edges = (1, 2, 3, 5, 7, 10, 15)
    return np.stack([energies[:, (order >= a) & (order < b)].mean(axis=1) for a, b in itertools.pairwise(edges)], 1)


def test_block_transform_is_the_cosine_transform_of_scipy() -> None:
    picture = torch.rand(2, 24, 16, generator=torch.Generator().manual_seed(0))
    ours = BandEnergies(CPU).coefficients(picture, Planes(CPU)).numpy()
    for frame, row, column in itertools.product(range(2), range(3), range(2)):
        block = picture[frame, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].numpy()
        found = ours[frame, row, :, 8 * column : 8 * column + 8]
        np.testing.assert_allclose(found, dctn(block, norm="ortho"), atol=1e-5)


def test_bands_are_the_regions_means_of_the_blocks_bands() -> None:
    pictures_ = torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(1)) * 255
    ours = BandEnergies(CPU)(pictures_, Planes(CPU)).numpy()
    for picture, found in zip(pictures_.double().numpy(), ours, strict=True):
        wanted = slow_band_energies(picture).T @ region_weights().double().numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_regions_means_are_those_of_the_blocks() -> None:
    means, weights = RegionMeans(CPU), region_weights()
    for side in (56, 112, 224):
        planes = [torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
        wanted = torch.stack([block_means(plane) @ weights for plane in planes])
        torch.testing.assert_close(means.of(*planes), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("run", [1, 3, 100])
def test_measured_as_by_plain_formulas(run: int) -> None:
    """Energies of the residual's first and second differences, computed in double precision one picture at a time."""
    frames = film(7)
    measures = FaceMeasures(CPU)
    measures._run = run
    noise = measures(torch.from_numpy(frames))["noise"].numpy()
    luma = frames.astype(np.float64) @ (0.299, 0.587, 0.114)
    edged = np.pad(luma, ((0, 0), (1, 1), (1, 1)), mode="edge")
    across, down = edged[:, 1:-1, :-2] + edged[:, 1:-1, 2:], edged[:, :-2, 1:-1] + edged[:, 2:, 1:-1]
    residual = 4 * luma - across - down
    for i in range(1, 6):
        last, here, following = residual[i - 1 : i + 2]
        planes = np.stack([here - last, following - 2 * here + last, following - last]) ** 2
        energies = block_means(torch.from_numpy(planes)) @ region_weights().double()
        np.testing.assert_allclose(noise[i], (energies + 0.02).log().flatten().numpy(), atol=1e-5)


def test_off_the_processor_the_blocks_have_the_same_shapes() -> None:
    """PyTorch's meta device computes shapes alone: the way that a GPU takes, where there is none."""
    frames = torch.from_numpy(film(5))
    here = FaceMeasures(CPU)(frames)
    with torch.inference_mode():
        there = FaceMeasures(torch.device("meta"))(frames.to("meta"))
    assert {name: block.shape for name, block in there.items()} == {name: block.shape for name, block in here.items()}


def test_colours_and_halves_are_the_same_bits_as_by_plain_sums() -> None:
    """Thresholds stand behind them: whether a block is still must not hang on the order of a sum."""
    colours = torch.from_numpy(film(3)).float()
    luma = pictures.luma(colours, Planes(CPU))
    assert torch.equal(luma, (colours[..., 0] * 0.299 + colours[..., 1] * 0.587) + colours[..., 2] * 0.114)
    rows = luma[:, 0::2] + luma[:, 1::2]
    assert torch.equal(pictures.halved(luma, Planes(CPU)), (rows[:, :, 0::2] + rows[:, :, 1::2]) / 4)
    blocks = colours.reshape(3, 28, 8, 28, 8, 3).double().mean(dim=(2, 4)).flatten(1, 2)
    assert torch.equal(pictures.block_colours(colours, 28), blocks.float())


def test_laplacian_of_a_plane_is_zero_inside() -> None:
    plane = torch.arange(6.0)[None, :, None] + 2 * torch.arange(8.0)
    assert not pictures.laplacian(plane)[:, 1:-1, 1:-1].any()
    torch.testing.assert_close(pictures.halved(plane, Planes(CPU))[0, 0, :2], torch.tensor([1.5, 5.5]))


def test_what_cannot_be_met_is_refused(encoder: HandcraftedVideoEncoder) -> None:
    with pytest.raises(ValueError, match="no pictures"):
        encoder.encode([clip_of(None)])
    with pytest.raises(ValueError, match=r"frames of shape \(3, 96, 96, 3\)"):
        encoder.encode([clip_of(np.zeros((3, 96, 96, 3), dtype=np.uint8))])
    odd = EncoderSpec(name="handcrafted-video", view=FrameView(size_pixels=200))
    with pytest.raises(ValueError, match="a multiple of 112"):
        HandcraftedVideoEncoder(odd, CPU)
