"""WavLM and CLIP of the published shapes with seeded weights: how fast they run, beside plain matrix products.

Numbers do not depend on what the weights are. On a machine without a GPU the shapes are tiny: nobody waits for the
large ones there, and what is shown is that the same path works.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.encoders.load import load_encoder, resolve_spec
from iamsb_core.manifest import VideoRecord
from iamsb_core.media.clip import DecodedClip, FrameView
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.systems.cost import count_gflop

Extract = Callable[..., None]
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "WavLM-large, CLIP ViT-B/16": {
        "wavlm": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
        "clip": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    },
    "tiny": {
        "wavlm": {
            "hidden_size": 64,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 128,
            "conv_dim": (32,) * 7,
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 4,
        },
        "clip": {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 128},
    },
}
NUM_REPEATS = 3 if torch.cuda.is_available() else 1


def measure(records: Sequence[VideoRecord], folder: Path, extract: Extract) -> dict[str, Any]:
    """Each network alone on decoded clips, and the extraction with both, at the last layer and the middle one."""
    on_gpu = torch.cuda.is_available()
    device, name = ("cuda", "WavLM-large, CLIP ViT-B/16") if on_gpu else ("cpu", "tiny")
    records = records if on_gpu else records[:2]
    folders = write_weights(SHAPES[name], folder)
    media_seconds = sum(record.duration_seconds or 0.0 for record in records)
    clips = decoded(records)
    rate = product_rate(device)
    found: dict[str, Any] = {"shapes": name, "device": device, "tflop_per_second_of_products": round(rate / 1e12, 2)}
    for depth, share in (("last layer", None), ("middle layer", 2)):
        specs = tuple(
            resolve_spec(spec(kind, folders[kind], -1 if share is None else layers // share, on_gpu))
            for kind, layers in ((kind, SHAPES[name][kind]["num_hidden_layers"]) for kind in ("wavlm", "clip"))
        )
        extract(records[:2], specs, folder, device)  # what is made once
        seconds = timed(lambda specs=specs: extract(records, specs, folder, device))
        alone = {one.name: encoding(one, clips, device, media_seconds, rate) for one in specs}
        gflop = sum(one["gflop_per_media_second"] for one in alone.values()) * media_seconds
        found[depth] = {
            **alone,
            "extraction_times_real_time": round(media_seconds / seconds, 1),
            "extraction_share_of_the_rate": round(gflop * 1e9 / seconds / rate, 4),
        }
    return found


def encoding(
    one: EncoderSpec, clips: Sequence[DecodedClip], device: str, seconds: float, rate: float
) -> dict[str, Any]:
    """One encoder on clips that are decoded already."""
    encoder = load_encoder(one, device)
    encoder.encode(clips[:1])
    took = timed(lambda: encoder.encode(clips))
    gflop = count_gflop(lambda: encoder.encode(clips[:1])) / clips[0].duration_seconds
    return {
        "layer": one.layer,
        "times_real_time": round(seconds / took, 1),
        "gflop_per_media_second": round(gflop, 3),
        "share_of_the_rate": round(gflop * 1e9 * seconds / took / rate, 4),
    }


def spec(kind: str, folder: Path, layer: int, on_gpu: bool) -> EncoderSpec:
    view = FrameView() if kind == "clip" else None
    return EncoderSpec(
        name=kind,  # type: ignore[arg-type]
        weights=str(folder),
        layer=layer,
        dtype="bfloat16" if on_gpu else "float32",
        view=view,
    )


def write_weights(shapes: dict[str, dict[str, Any]], folder: Path) -> dict[str, Path]:
    """Folders as `iamsb extract --encoders` takes them."""
    from transformers import CLIPVisionConfig, CLIPVisionModel, WavLMConfig, WavLMModel  # noqa: PLC0415 - seconds

    torch.manual_seed(0)
    large = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    models = {
        "wavlm": WavLMModel(WavLMConfig(**large, **shapes["wavlm"])),
        "clip": CLIPVisionModel(CLIPVisionConfig(image_size=224, patch_size=16, **shapes["clip"])),
    }
    preprocessors = {
        "wavlm": {"do_normalize": True, "sampling_rate": 16_000},
        "clip": {"size": 224, "crop_size": 224, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    }
    for kind, model in models.items():
        model.save_pretrained(folder / kind)
        (folder / kind / "preprocessor_config.json").write_text(json.dumps(preprocessors[kind]))
    return {kind: folder / kind for kind in models}


def decoded(records: Sequence[VideoRecord]) -> list[DecodedClip]:
    with MediaDecoder() as decoder:
        return [decoder.decode(record.path, FrameView()) for record in records]


def product_rate(device: str) -> float:
    """Operations a second of plain matrix products, in bfloat16 on a GPU, in float32 on a processor."""
    size, dtype = (8192, torch.bfloat16) if device == "cuda" else (1024, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    def products() -> None:
        for _ in range(8):
            torch.mm(a, b)
        if device == "cuda":
            torch.cuda.synchronize()

    products()
    return 8 * 2 * size**3 / timed(products)


def timed(work: Callable[[], object]) -> float:
    """The median of three, on a processor the only one."""
    seconds = []
    for _ in range(NUM_REPEATS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return median(seconds)
