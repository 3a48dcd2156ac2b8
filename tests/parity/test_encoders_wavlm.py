"""WavLM against transformers itself, on tiny seeded configurations of the real class with both front ends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMModel

from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.encoders.fused_attention import fuse_attention
from iamsb_core.encoders.load import load_encoder
from iamsb_core.encoders.wavlm import ChunkPlan, WavLMEncoder
from iamsb_core.media.clip import DecodedClip, MediaProbe

FRONT_ENDS = ("layer", "group")
PROBE = MediaProbe(
    sha256="0" * 64, size_bytes=0, duration_seconds=0.0, container="wav", num_video_streams=0, num_audio_streams=1,
    video_codec=None, width=0, height=0, rotation_degrees=0, num_video_frames=0, average_fps=0.0,
    variable_frame_rate=False, video_start_seconds=0.0, audio_codec="pcm", sample_rate_hz=16_000, num_channels=1,
    audio_start_seconds=0.0,
)  # fmt: skip


def clip_of(waveform: np.ndarray) -> DecodedClip:
    return DecodedClip(
        probe=PROBE, duration_seconds=len(waveform) / 16_000, waveform=waveform, frames=None, frame_boxes=None,
        face_found=None, frame_grid=None, reader="none",
    )  # fmt: skip


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    """Noise whose loudness swells and fades, with an offset: normalising it matters."""
    rng = np.random.default_rng(seed)
    swell = 0.05 + 0.05 * np.sin(np.arange(num_samples) / 3000.0)
    return (rng.normal(size=num_samples) * swell + 0.02).astype(np.float32)


@pytest.fixture(scope="module", params=FRONT_ENDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """large: layer-norm front end, normalised input, stable layer norm; base and base-plus: none of them."""
    is_large = request.param == "layer"
    config = WavLMConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48, conv_dim=(24,) * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, num_buckets=32, max_bucket_distance=80,
        feat_extract_norm=request.param, do_stable_layer_norm=is_large, conv_bias=is_large,
    )  # fmt: skip
    torch.manual_seed(3)
    model = WavLMModel(config).eval()
    path = tmp_path_factory.mktemp(f"wavlm_{request.param}")
    model.save_pretrained(path)
    preprocessor = {"do_normalize": is_large, "feature_size": 1, "sampling_rate": 16_000, "padding_value": 0}
    (path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return path


def reference(folder: Path, waveform: np.ndarray, layer: int) -> np.ndarray:
    """What transformers gives for one clip: its own feature extractor and model, nothing of ours."""
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    model = WavLMModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        values = extractor(waveform, sampling_rate=16_000, return_tensors="pt").input_values
        outputs = model(values, output_hidden_states=True)
    states = outputs.last_hidden_state if layer in (-1, 3) else outputs.hidden_states[layer]
    return states[0].numpy()


def encoder(folder: Path, *, layer: int = -1, plan: ChunkPlan | None = None) -> WavLMEncoder:
    spec = EncoderSpec(name="wavlm", weights=str(folder), layer=layer)
    return WavLMEncoder(spec, folder, torch.device("cpu"), plan=plan)


@pytest.mark.parametrize("layer", [-1, 0, 1, 3])
def test_rows_are_those_of_transformers(folder: Path, layer: int) -> None:
    waveform = noise(24_000)
    (track,) = encoder(folder, layer=layer).encode([clip_of(waveform)])
    expected = reference(folder, waveform, layer)
    assert expected.shape == (74, 32)
    assert track.main.values.shape == (75, 32)
    np.testing.assert_allclose(track.main.values[:74], expected, atol=2e-5)
    np.testing.assert_array_equal(track.main.values[74], track.main.values[73])


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # what transformers gives PyTorch
@pytest.mark.parametrize("num_padded", [None, 0, 4])
def test_fused_attention_is_that_of_transformers(folder: Path, num_padded: int | None) -> None:
    """One layer's, with and without padding, and how it learns: values and gradients, in double precision."""
    plain, fused = (WavLMModel.from_pretrained(folder).eval().double() for _ in range(2))
    fuse_attention(fused)
    rows = torch.randn(3, 20, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    mask = None if num_padded is None else torch.arange(20)[None] < torch.tensor([20, 20 - num_padded, 9])[:, None]
    found = []
    for model in (plain, fused):
        attention = model.encoder.layers[0].attention
        given = rows.clone().requires_grad_()
        attended, _, bias = attention(given, attention_mask=mask)
        attended.square().sum().backward()
        weights = (attention.q_proj.weight.grad, attention.gru_rel_pos_linear.weight.grad)
        found.append((attended, bias, given.grad, *weights))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_no_table_of_attention_weights_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.nn.functional, "multi_head_attention_forward")
    (track,) = encoder(folder).encode([clip_of(noise(9_000))])
    assert np.isfinite(track.main.values).all()


@pytest.mark.parametrize("num_samples", [1, 399, 400, 480, 719, 720, 16_000])
def test_the_grid_is_exact_for_any_length(folder: Path, num_samples: int) -> None:
    (track,) = encoder(folder).encode([clip_of(noise(num_samples))])
    assert track.main.grid.num_cells == max(1, int(num_samples / 320 + 0.5))
    assert np.isfinite(track.main.values).all()


def test_a_click_shows_in_the_row_of_its_cell(folder: Path) -> None:
    """The convolutions' row r sees [320 r, 320 r + 400): a click in the middle of a cell changes that cell's row."""
    model = encoder(folder)
    waveform = np.zeros(32_000, dtype=np.float32)
    waveform[320 * 41 + 160] = 1.0
    with torch.inference_mode():
        norm = model._group_norm_scale(waveform, None)
        loud = model._convolved(waveform, None, norm, slice(0, 99))[0]
        silent = model._convolved(np.zeros_like(waveform), None, norm, slice(0, 99))[0]
    changed = (loud - silent).abs().amax(dim=1) > 1e-9
    assert changed.nonzero().flatten().tolist() == [41]


def test_alone_or_in_a_batch(folder: Path) -> None:
    clips = [clip_of(noise(size, seed)) for seed, size in enumerate((20_000, 9_000, 31_000))]
    together = encoder(folder).encode(clips)
    for clip, track in zip(clips, together, strict=True):
        np.testing.assert_array_equal(encoder(folder).encode([clip])[0].main.values, track.main.values)


def test_batches_of_like_length_change_nothing_but_rounding(folder: Path) -> None:
    """As on a GPU: several lengths, padded and masked together, and one clip that is too long for a batch."""
    clips = [clip_of(noise(size, seed)) for seed, size in enumerate((20_000, 9_000, 19_500, 31_000, 18_700, 200))]
    plan = ChunkPlan(batch_rows=200, max_padding=0.2, whole_rows=80, max_rows=60, context_rows=15)
    batched = encoder(folder, plan=plan)
    assert list(batched._batches([clip.waveform for clip in clips])) == [[5], [1], [4, 2, 0], [3]]
    alone = encoder(folder, plan=ChunkPlan(batch_rows=0, whole_rows=80, max_rows=60, context_rows=15))
    for clip, track in zip(clips, batched.encode(clips), strict=True):
        np.testing.assert_allclose(track.main.values, alone.encode([clip])[0].main.values, atol=2e-5)


SMALL = ChunkPlan(whole_rows=0, max_rows=60, context_rows=30, front_end_rows=17)


def test_up_to_the_first_layer_chunks_equal_the_whole(folder: Path) -> None:
    """Here everything is local or made so: the clip's statistics, the convolutions, the position's convolution."""
    clip = clip_of(noise(64_000))
    whole = encoder(folder, layer=0).encode([clip])[0].main.values
    chunked = encoder(folder, layer=0, plan=SMALL).encode([clip])[0].main.values
    np.testing.assert_allclose(chunked, whole, atol=1e-5)


def test_seams_do_not_show(folder: Path) -> None:
    """The transformer sees 120 rows instead of 199: rows move a little, those at a seam no more than the others."""
    clip = clip_of(noise(64_000))
    whole = encoder(folder).encode([clip])[0].main.values
    chunked = encoder(folder, plan=SMALL).encode([clip])[0].main.values
    error = np.linalg.norm(chunked - whole, axis=1) / np.linalg.norm(whole, axis=1)
    assert error.max() < 0.02
    jumps = np.linalg.norm(np.diff(chunked, axis=0), axis=1)
    at_seams = [edge - 1 for edge in (49, 99, 149)]
    assert jumps[at_seams].max() < np.quantile(jumps, 0.99)


def test_a_pickle_is_not_opened(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    torch.save(WavLMModel.from_pretrained(folder).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"are a pickle \(pytorch_model.bin\).*convert it to model.safetensors"):
        load_encoder(EncoderSpec(name="wavlm", weights=str(tmp_path)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_stays_close(folder: Path, dtype: str) -> None:
    clip = clip_of(noise(16_000))
    spec = EncoderSpec(name="wavlm", weights=str(folder), dtype=dtype)  # type: ignore[arg-type]
    half = load_encoder(spec).encode([clip])[0].main.values
    full = encoder(folder).encode([clip])[0].main.values
    assert half.dtype == np.float32
    assert np.linalg.norm(half - full) / np.linalg.norm(full) < 0.02


def test_silence_is_finite_and_missing_audio_refused(folder: Path) -> None:
    (track,) = encoder(folder).encode([clip_of(np.zeros(16_000, dtype=np.float32))])
    assert np.isfinite(track.main.values).all()
    silent = DecodedClip(
        probe=PROBE, duration_seconds=1.0, waveform=None, frames=None, frame_boxes=None, face_found=None,
        frame_grid=None, reader="none",
    )  # fmt: skip
    with pytest.raises(ValueError, match="no audio stream"):
        encoder(folder).encode([silent])


def test_a_layer_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="hidden states 0 to 3"):
        encoder(folder, layer=4)
