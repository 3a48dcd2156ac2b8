"""Fixtures for every kind of test."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores: threads of theirs would wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background jobs inherit that, and pass it on
    signal.signal(signal.SIGINT, signal.default_int_handler)

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def media_folder() -> Path:
    """The folder of real clips: IAMSB_TEST_MEDIA, or shared/media beside the checkout."""
    folder = Path(os.environ.get("IAMSB_TEST_MEDIA", PROJECT.parent / "shared" / "media"))
    if not (folder / "CATALOG.csv").is_file():
        pytest.skip(f"no real clips at {folder}; set IAMSB_TEST_MEDIA to the folder that holds CATALOG.csv")
    return folder


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 drawn clips of 2.5 s, forged, in LAV-DF's layout: 6 to train on, 3 to look at, 3 to test."""
    from tiny_work import forge_tiny  # noqa: PLC0415 - as below

    return forge_tiny(tmp_path_factory.mktemp("dataset") / "tiny")


@pytest.fixture(scope="session")
def tiny_encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a WavLM and a CLIP of two blocks each, as their seed left them, by name."""
    import torch  # noqa: PLC0415 - seconds that most tests need not wait
    from transformers import CLIPVisionConfig, CLIPVisionModel, WavLMConfig, WavLMModel  # noqa: PLC0415

    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    front_end = {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
    pictures = {"size": 32, "crop_size": 32, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    preprocessors = {"wavlm": {"do_normalize": True, "sampling_rate": 16_000}, "clip": pictures}
    parent = tmp_path_factory.mktemp("encoders")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer_norm = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
        WavLMModel(WavLMConfig(**shape, **front_end, **layer_norm)).save_pretrained(parent / "wavlm")
        CLIPVisionModel(CLIPVisionConfig(**shape, image_size=32, patch_size=16)).save_pretrained(parent / "clip")
    for name, preprocessor in preprocessors.items():
        (parent / name / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return {name: parent / name for name in preprocessors}


@pytest.fixture(scope="session")
def untrained_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a compact IaMSB and the handcrafted encoders, as its seed left it."""
    import torch  # noqa: PLC0415 - seconds that most tests need not wait

    from iamsb_core.digest import plain  # noqa: PLC0415
    from iamsb_core.encoders.base import Streams  # noqa: PLC0415
    from iamsb_core.encoders.load import encoder_specs, load_encoder  # noqa: PLC0415
    from iamsb_core.systems.base import create_system  # noqa: PLC0415
    from iamsb_core.systems.iamsb import compact  # noqa: PLC0415
    from iamsb_core.training.model_folder import ModelCard, save_model  # noqa: PLC0415

    audio, visual = encoder_specs("handcrafted")
    streams = Streams(audio=load_encoder(audio).stream, visual=load_encoder(visual).stream)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        system = create_system("iamsb", streams, compact())
    card = ModelCard(
        system="iamsb",
        system_config=plain(system.config),
        streams=streams,
        audio_encoder=audio,
        visual_encoder=visual,
        window_seconds=8.0,
    )
    return save_model(tmp_path_factory.mktemp("untrained") / "model", system.state_dict(), card)
