"""CLIP's image tower against transformers itself: its model, and its Pillow image processor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.encoders.clip import ClipEncoder, Preprocessing
from iamsb_core.media.clip import DecodedClip, FrameView, MediaProbe
from iamsb_core.timeline import TimeGrid

MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
LEVEL = 1 / 255 / min(STD)
"""one grey level of a byte, after scaling: what rounding the two passes of a resize can move"""
TOWER = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48, "image_size": 32,
    "patch_size": 8, "projection_dim": 16,
}  # fmt: skip
PROBE = MediaProbe(
    sha256="0" * 64, size_bytes=0, duration_seconds=0.0, container="mp4", num_video_streams=1, num_audio_streams=0,
    video_codec="h264", width=64, height=64, rotation_degrees=0, num_video_frames=0, average_fps=25.0,
    variable_frame_rate=False, video_start_seconds=0.0, audio_codec=None, sample_rate_hz=0, num_channels=0,
    audio_start_seconds=0.0,
)  # fmt: skip


def pictures(num_frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth gradients with noise and hard edges, (num_frames, height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, height * width * 3).reshape(height, width, 3)
    frames = ramp + rng.normal(0, 25, (num_frames, height, width, 3))
    frames[:, height // 4 : height // 2, width // 3 :] += 120
    return np.clip(frames, 0, 255).astype(np.uint8)


def clip_of(frames: np.ndarray) -> DecodedClip:
    grid = TimeGrid(0.04, len(frames))
    return DecodedClip(
        probe=PROBE, duration_seconds=grid.duration_seconds, waveform=None, frames=frames, frame_boxes=None,
        face_found=None, frame_grid=grid, reader="pyav",
    )  # fmt: skip


def write_preprocessor(folder: Path, **changed: object) -> dict[str, object]:
    config: dict[str, object] = {
        "crop_size": 32, "do_center_crop": True, "do_normalize": True, "do_resize": True, "image_mean": MEAN,
        "image_std": STD, "resample": 3, "size": 32, "feature_extractor_type": "CLIPFeatureExtractor",
    } | changed  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return config


@pytest.fixture(scope="module", params=["tower", "full"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image tower alone, and a full checkpoint with its text half."""
    path = tmp_path_factory.mktemp(f"clip_{request.param}")
    torch.manual_seed(5)
    if request.param == "tower":
        CLIPVisionModel(CLIPVisionConfig(**TOWER)).save_pretrained(path)
    else:
        text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = CLIPConfig(text_config=text | {"vocab_size": 40}, vision_config=TOWER, projection_dim=16)
        CLIPModel(config).save_pretrained(path)
    write_preprocessor(path)
    return path


def encoder(folder: Path, *, layer: int = -1, size_pixels: int = 48) -> ClipEncoder:
    view = FrameView(size_pixels=size_pixels)
    return ClipEncoder(EncoderSpec(name="clip", layer=layer, view=view), folder, torch.device("cpu"))


@pytest.mark.parametrize("layer", [-1, 0, 2, 3])
def test_features_are_those_of_transformers(folder: Path, layer: int) -> None:
    frames = pictures(5, 48, 48)
    (track,) = encoder(folder, layer=layer).encode([clip_of(frames)])
    model = CLIPVisionModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        pixels = Preprocessing.read(folder)(torch.tensor(frames))
        outputs = model(pixels, output_hidden_states=True)
    expected = outputs.pooler_output if layer == -1 else outputs.hidden_states[layer][:, 0]
    assert track.main.grid == TimeGrid(0.04, 5)
    np.testing.assert_allclose(track.main.values, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(224, 224), (96, 96), (70, 53), (40, 61), (32, 32), (20, 20)])
def test_pixels_are_those_of_the_pillow_processor(tmp_path: Path, height: int, width: int) -> None:
    """Resized up, down or not at all: within one grey level everywhere, and exact on nearly all pixels."""
    write_preprocessor(tmp_path)
    frames = pictures(3, height, width)
    ours = Preprocessing.read(tmp_path)(torch.tensor(frames)).numpy()
    theirs = CLIPImageProcessorPil.from_pretrained(tmp_path)(list(frames), return_tensors="np")["pixel_values"]
    assert ours.shape == theirs.shape == (3, 3, 32, 32)
    assert np.abs(ours - theirs).max() <= LEVEL * 1.01
    assert (np.abs(ours - theirs) > LEVEL / 10).mean() < 0.05


def test_the_models_own_mean_and_sizes_are_read(tmp_path: Path) -> None:
    write_preprocessor(tmp_path, image_mean=[0, 0, 0], image_std=[1, 1, 1], size={"shortest_edge": 32})
    grey = Preprocessing.read(tmp_path)(torch.full((1, 64, 64, 3), 51, dtype=torch.uint8))
    np.testing.assert_allclose(grey.numpy(), 0.2, atol=1e-6)


def test_alone_or_in_a_batch_and_in_any_chunk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [clip_of(pictures(count, 48, 48, seed)) for seed, count in enumerate((7, 1, 12))]
    together = encoder(folder).encode(clips)
    for clip, track in zip(clips, together, strict=True):
        np.testing.assert_array_equal(encoder(folder).encode([clip])[0].main.values, track.main.values)
    monkeypatch.setattr("iamsb_core.encoders.clip._FRAMES_PER_PASS", 5)
    for track, small in zip(together, encoder(folder).encode(clips), strict=True):
        np.testing.assert_allclose(small.main.values, track.main.values, atol=1e-5)


def test_pictures_of_several_clips_share_a_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: passes of five pictures over clips of 7, 1 and 12."""
    clips = [clip_of(pictures(count, 48, 48, seed)) for seed, count in enumerate((7, 1, 12))]
    alone = encoder(folder).encode(clips)
    spec = EncoderSpec(name="clip", view=FrameView(size_pixels=48))
    monkeypatch.setattr("iamsb_core.encoders.clip._FRAMES_PER_PASS", 5)
    together = ClipEncoder(spec, folder, torch.device("cpu"), together=True).encode(clips)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.main.values, other.main.values, atol=1e-5)


def test_memory_mapped_frames(folder: Path, tmp_path: Path) -> None:
    frames = pictures(4, 48, 48)
    np.save(tmp_path / "frames.npy", frames)
    mapped = clip_of(np.load(tmp_path / "frames.npy", mmap_mode="r"))
    expected = encoder(folder).encode([clip_of(frames)])
    np.testing.assert_array_equal(encoder(folder).encode([mapped])[0].main.values, expected[0].main.values)


def test_half_precision_stays_close(folder: Path) -> None:
    clip = clip_of(pictures(3, 48, 48))
    spec = EncoderSpec(name="clip", dtype="bfloat16", view=FrameView(size_pixels=48))
    half = ClipEncoder(spec, folder, torch.device("cpu")).encode([clip])[0].main.values
    full = encoder(folder).encode([clip])[0].main.values
    assert half.dtype == np.float32
    assert np.linalg.norm(half - full) / np.linalg.norm(full) < 0.02


def test_what_cannot_be_met_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="hidden states 0 to 3"):
        encoder(folder, layer=4)
    with pytest.raises(ValueError, match="give its spec a view"):
        ClipEncoder(EncoderSpec(name="clip"), folder, torch.device("cpu"))
    with pytest.raises(ValueError, match=r"frames of shape \(2, 32, 32, 3\)"):
        encoder(folder).encode([clip_of(pictures(2, 32, 32))])
    write_preprocessor(tmp_path, resample=1)
    with pytest.raises(ValueError, match="resample 1"):
        Preprocessing.read(tmp_path)
