"""Memory that runs out in an encoder: the pass is halved, and the features are those of a machine with more of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, WavLMConfig, WavLMModel
from workplace import note

from iamsb_core.encoders.alignment import Chunk
from iamsb_core.encoders.base import EncodedTrack, Encoder, EncoderSpec
from iamsb_core.encoders.clip import ClipEncoder
from iamsb_core.encoders.load import encoder_specs, load_encoder
from iamsb_core.encoders.passes import Passes
from iamsb_core.encoders.wavlm import ChunkPlan, WavLMEncoder
from iamsb_core.manifest import Modality, VideoRecord
from iamsb_core.media.clip import DecodedClip, FrameView, MediaProbe
from iamsb_core.timeline import TimeGrid
from tasks import extraction

ERRORS: dict[str, Callable[[], Exception]] = {
    "numpy": lambda: MemoryError("Unable to allocate 9 GiB"),
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
    "torch": lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    "cudnn": lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
}
PROBE = MediaProbe(
    sha256="0" * 64, size_bytes=0, duration_seconds=0.0, container="mp4", num_video_streams=1, num_audio_streams=1,
    video_codec="h264", width=64, height=64, rotation_degrees=0, num_video_frames=0, average_fps=25.0,
    variable_frame_rate=False, video_start_seconds=0.0, audio_codec="pcm", sample_rate_hz=16_000, num_channels=1,
    audio_start_seconds=0.0,
)  # fmt: skip


def clip_of(num_frames: int, side: int, seed: int = 0) -> DecodedClip:
    """Noise in picture and sound."""
    rng, grid = np.random.default_rng(seed), TimeGrid(0.04, num_frames)
    return DecodedClip(
        probe=PROBE,
        duration_seconds=grid.duration_seconds,
        waveform=rng.normal(0, 0.1, num_frames * 640).astype(np.float32),
        frames=rng.integers(0, 256, (num_frames, side, side, 3), dtype=np.uint8),
        frame_boxes=None,
        face_found=None,
        frame_grid=grid,
        reader="pyav",
    )


def tried_passes(passes: Passes, num_rows: int, room: int, error: Callable[[], Exception]) -> list[int]:
    """Sizes of the passes that were tried, where there is room for so many rows; every row must come, in order."""
    tried = []

    def compute(chunk: Chunk) -> list[int]:
        tried.append(chunk.keep.stop - chunk.keep.start)
        if tried[-1] > room:
            raise error()
        return list(range(chunk.keep.start, chunk.keep.stop))

    assert [row for _, part in passes.over(num_rows, compute) for row in part] == list(range(num_rows))
    return tried


@pytest.mark.parametrize("kind", ERRORS)
def test_a_pass_is_halved_until_it_fits_and_stays_so(kind: str):
    passes = Passes(64)
    assert tried_passes(passes, 100, 20, ERRORS[kind]) == [50, 25, 12, 13, 12, 13, 12, 13, 12, 13]
    assert passes.max_rows == 13
    assert tried_passes(passes, 26, 20, ERRORS[kind]) == [13, 13], "no second error"
    with pytest.raises(MemoryError, match="smallest pass"):
        tried_passes(passes, 2, 0, ERRORS[kind])


def test_another_error_is_not_taken_for_one():
    def compute(chunk: Chunk) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="multiplied"):
        list(Passes(4).over(8, compute))


def short_of_memory(
    monkeypatch: pytest.MonkeyPatch, module: Any, room: int, error: Callable[[], Exception]
) -> list[int]:
    """Let a module, called with a batch of more than so many rows, run out of memory; the sizes it was called with."""
    inner, sizes = module.forward, []

    def forward(*args: Any, **kwargs: Any) -> Any:
        batch = args[0] if args else kwargs["pixel_values"]
        sizes.append(len(batch))
        if len(batch) > room:
            raise error()
        return inner(*args, **kwargs)

    monkeypatch.setattr(module, "forward", forward)
    return sizes


@pytest.mark.parametrize("kind", ["cuda", "torch"])
def test_clip_goes_on_with_half_the_pictures(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(5)
    tower = CLIPVisionConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, image_size=32, patch_size=8
    )
    CLIPVisionModel(tower).save_pretrained(tmp_path)
    size = {"crop_size": 32, "size": 32, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.3] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(size))
    spec = EncoderSpec(name="clip", weights=str(tmp_path), view=FrameView(size_pixels=32))
    encoder, clips = ClipEncoder(spec, tmp_path, torch.device("cpu"), together=True), [clip_of(90, 32), clip_of(41, 32)]
    whole = encoder.encode(clips)
    sizes = short_of_memory(monkeypatch, encoder._model, 20, ERRORS[kind])
    halved = encoder.encode(clips)
    assert max(sizes) > 20, "it ran out of memory"
    assert max(sizes[sizes.index(max(size for size in sizes if size <= 20)) :]) <= 22 or sizes[-1] <= 20
    for one, other in zip(whole, halved, strict=True):
        np.testing.assert_allclose(one.main.values, other.main.values, rtol=0, atol=2e-5)


def test_wavlm_goes_on_with_half_the_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(3)
    config = WavLMConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, conv_dim=(24,) * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, feat_extract_norm="layer",
        do_stable_layer_norm=True, conv_bias=True,
    )  # fmt: skip
    WavLMModel(config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True}))
    spec, plan = EncoderSpec(name="wavlm", weights=str(tmp_path)), ChunkPlan(batch_rows=2000)
    encoder = WavLMEncoder(spec, tmp_path, torch.device("cpu"), plan=plan)
    clips = [clip_of(50, 8, seed) for seed in range(6)]
    whole = encoder.encode(clips)
    sizes = short_of_memory(monkeypatch, encoder._model.encoder, 2, ERRORS["cuda"])
    halved = encoder.encode(clips)
    assert sizes == [6, 3, 1, 2, 1, 2] or sizes[:2] == [6, 3]
    for one, other in zip(whole, halved, strict=True):
        np.testing.assert_allclose(one.main.values, other.main.values, rtol=0, atol=2e-5)


class Short:
    """An encoder that has no memory for a clip of more than so many cells."""

    def __init__(self, encoder: Encoder, num_cells: int) -> None:
        self._encoder, self._num_cells = encoder, num_cells

    def encode(self, clips: list[DecodedClip]) -> list[EncodedTrack]:
        if any(clip.frames is not None and len(clip.frames) > self._num_cells for clip in clips):
            raise MemoryError("there is no memory for the smallest pass")
        return self._encoder.encode(clips)


def test_a_clip_that_never_fits_costs_itself_and_is_tried_again():
    encoder: Any = Short(load_encoder(encoder_specs("handcrafted")[1]), 10)
    small, large = clip_of(5, 224), clip_of(20, 224)
    small_track, large_track = extraction._tracks(encoder, Modality.VISUAL, [small, large])
    assert isinstance(small_track, EncodedTrack)
    video = VideoRecord(video_id="a", path=Path("a.mp4"), split="test", duration_seconds=None)
    record = extraction._entry(video, large, large_track).record
    assert (record.status, record.kind, record.is_retried) == ("failed", "memory", True)


STARVED = """
import resource, sys
import numpy as np
from test_encoder_memory import clip_of
from iamsb_core.encoders.load import encoder_specs, load_encoder

encoder, clip = load_encoder(encoder_specs("handcrafted")[1]), clip_of(48, 224)
whole = encoder.encode([clip])[0].main.values
before = encoder._frames.max_rows
used = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmData")) ) << 10
_, hard = resource.getrlimit(resource.RLIMIT_DATA)
resource.setrlimit(resource.RLIMIT_DATA, (used + (int(sys.argv[1]) << 20), hard))
halved = encoder.encode([clip])[0].main.values
resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
print(before, encoder._frames.max_rows, np.abs(whole - halved).max())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit on private memory is Linux's")
def test_a_process_that_really_runs_out_goes_on_in_smaller_passes():
    """The kernel refuses more memory: first hardly any, then more, until a pass of some size fits."""
    outcomes = []
    for spare_mib in (2, 8, 16, 32, 64):
        command = [sys.executable, "-c", STARVED, str(spare_mib)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # with what pytest put on it
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            assert "MemoryError" in done.stderr or "memory" in done.stderr, done.stderr[-2000:]
            outcomes.append({"spare_mib": spare_mib, "outcome": "refused in words"})
        else:
            before, after, difference = done.stdout.split()
            assert float(difference) < 1e-5
            outcomes.append({"spare_mib": spare_mib, "pass": int(after), "of": int(before), "difference": difference})
    assert any(one.get("pass", one.get("of")) != one.get("of") for one in outcomes), outcomes
    note("encoder-memory", {"outcomes": outcomes})
