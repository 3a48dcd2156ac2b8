"""From names to encoders: presets, weights on this machine, digests, and messages with a way out."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.encoders.load import encoder_specs, load_encoder, preset_names, resolve_spec
from iamsb_core.encoders.weights import find_weights, weights_digest
from iamsb_core.manifest import Modality
from iamsb_core.media.clip import FrameView


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny CLIP tower."""
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=16, patch_size=8
    )
    CLIPVisionModel(config).save_pretrained(tmp_path / "clip")
    preprocessor = {"size": 16, "crop_size": 16, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3}
    (tmp_path / "clip" / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return tmp_path / "clip"


def clip_spec(folder: Path, **changed: object) -> EncoderSpec:
    return dataclasses.replace(EncoderSpec(name="clip", weights=str(folder), view=FrameView()), **changed)


def test_every_preset_is_an_audio_and_a_visual_spec() -> None:
    for name in preset_names():
        audio, visual = encoder_specs(name)
        assert (audio.modality, visual.modality) == (Modality.AUDIO, Modality.VISUAL)
        assert audio.identity != visual.identity


def test_the_papers_pair() -> None:
    audio, visual = encoder_specs("wavlm-clip,bfloat16")
    assert (audio.name, audio.weights, audio.layer, audio.dtype) == ("wavlm", "microsoft/wavlm-large", -1, "bfloat16")
    assert (visual.name, visual.weights, visual.layer) == ("clip", "openai/clip-vit-base-patch16", -1)
    assert visual.view == FrameView()


def test_folders_layers_and_mixed_pairs() -> None:
    audio, visual = encoder_specs("wavlm:/my models/a+b,c@9+clip:./towers/clip")
    assert (audio.weights, audio.layer, audio.dtype) == ("/my models/a+b,c", 9, "float32")
    assert (visual.weights, visual.layer) == ("./towers/clip", -1)
    audio, visual = encoder_specs("wavlm:owner/model+handcrafted,float16")
    assert (audio.weights, audio.dtype, visual.name) == ("owner/model", "float16", "handcrafted-video")
    assert encoder_specs("handcrafted+clip:x")[0].name == "handcrafted-audio"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("handcraftd", "did you mean 'handcrafted'"),
        ("wavlm_clip", "did you mean 'wavlm-clip'"),
        ("clip:/a+wavlm:/b", r"no encoders 'clip:/a\+wavlm:/b'; there are handcrafted, .*, or AUDIO\+VISUAL"),
        ("", "there are handcrafted"),
        ("wavlm-clip,bfloat", "did you mean 'bfloat16'"),
        ("handcrafted,30hz", "no rate '30hz'; there are 25hz, 12.5hz, 5hz"),
        ("wavlm-clip,5hz,12.5hz", "two of a kind, 5hz and 12.5hz"),
        ("wavlm-clip,", "no dtype ''"),
        ("wavlm:/a@last+clip:/b", "the layer after @"),
        ("wavlm:/a@-2+clip:/b", "the layer after @"),
    ],
)
def test_unknown_names_get_an_answer(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder_specs(name)


def test_the_digest_is_of_the_bytes_not_of_the_place(folder: Path, tmp_path: Path) -> None:
    resolved = resolve_spec(clip_spec(folder))
    assert len(resolved.weights_digest) == 64
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    assert resolve_spec(clip_spec(moved)).identity == resolved.identity
    assert resolve_spec(clip_spec(moved, layer=0)).identity != resolved.identity
    weights = moved / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert resolve_spec(clip_spec(moved)).identity != resolved.identity
    with pytest.raises(ValueError, match="have changed"):
        resolve_spec(dataclasses.replace(resolved, weights=str(moved)))


def test_the_preprocessors_configuration_counts(folder: Path) -> None:
    before = weights_digest(folder)
    (folder / "preprocessor_config.json").write_text("{}")
    assert weights_digest(folder) != before


def test_shards_count_too(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors", "b": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    before = weights_digest(find_weights(str(folder)))
    (folder / "model-00001-of-00001.safetensors").write_bytes(b"other")
    assert weights_digest(folder) != before
    (folder / "model-00001-of-00001.safetensors").unlink()
    with pytest.raises(ValueError, match="lack model-00001-of-00001"):
        find_weights(str(folder))


def test_loaded_encoders_publish_their_shape(folder: Path) -> None:
    encoder = load_encoder(clip_spec(folder))
    assert (encoder.stream.dim, encoder.stream.hop_seconds) == (8, 0.04)
    assert encoder.stream.encoder_identity == resolve_spec(clip_spec(folder)).identity
    for spec in encoder_specs("handcrafted"):
        assert resolve_spec(spec) == spec
        assert load_encoder(spec).stream.encoder_identity == spec.identity


def test_missing_weights_say_what_to_download(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no weights of 'nobody/nothing' .* `hf download nobody/nothing config.json"):
        find_weights("nobody/nothing")
    with pytest.raises(ValueError, match=r"no folder .*nowhere.* or use the encoders `handcrafted`"):
        find_weights(str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"lack preprocessor_config.json, model.safetensors; on"):
        find_weights(str(tmp_path))


def test_weights_that_do_not_fill_the_model_are_refused(folder: Path) -> None:
    """Otherwise transformers fills the gaps with random numbers."""
    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if "post_layernorm" in name)
    save_file({name: tensor for name, tensor in weights.items() if name != gone}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"not those of a CLIPVisionModel: 1 parameters are missing, such as .*post_"):
        load_encoder(clip_spec(folder))
    with pytest.raises(ValueError, match="a model of type 'clip_vision_model', not wavlm"):
        load_encoder(EncoderSpec(name="wavlm", weights=str(folder)))
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match="cannot be read"):
        load_encoder(clip_spec(folder))


def test_loading_is_quiet_and_leaves_logging_as_it_was(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    level = logging.getLogger("transformers").level
    load_encoder(clip_spec(folder))
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("transformers").level == level


def test_broken_configuration_says_where(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"preprocessor_config.json holds a list"):
        load_encoder(clip_spec(folder))
    (folder / "preprocessor_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"preprocessor_config.json is not JSON"):
        load_encoder(clip_spec(folder))


def test_specs_that_this_code_cannot_meet() -> None:
    audio, visual = encoder_specs("handcrafted")
    with pytest.raises(ValueError, match="version 99 are wanted"):
        load_encoder(dataclasses.replace(audio, version=99))
    with pytest.raises(ValueError, match="takes no view"):
        load_encoder(dataclasses.replace(audio, view=FrameView()))
    with pytest.raises(ValueError, match="needs a view"):
        load_encoder(dataclasses.replace(visual, view=None))
    with pytest.raises(ValueError, match="computes in float32"):
        load_encoder(dataclasses.replace(audio, dtype="float16"))
    with pytest.raises(ValueError, match="did you mean 'wavlm'"):
        load_encoder(dataclasses.replace(audio, name="wavml"))  # type: ignore[arg-type]


def test_fewer_pictures_a_second_are_an_option_and_another_encoder():
    for name in ("handcrafted", "wavlm-clip", "wavlm-clip,bfloat16"):
        (usual_sound, usual), (sound, fewer) = encoder_specs(name), encoder_specs(f"{name},12.5hz")
        assert sound == usual_sound
        assert (usual.view.rate_hz, fewer.view.rate_hz) == (25.0, 12.5)
        assert fewer == dataclasses.replace(usual, view=dataclasses.replace(usual.view, rate_hz=12.5))
        assert fewer.identity != usual.identity
        assert encoder_specs(f"{name},25hz") == encoder_specs(name)
    assert encoder_specs("wavlm-clip,5hz,bfloat16") == encoder_specs("wavlm-clip,bfloat16,5hz")
    assert load_encoder(encoder_specs("handcrafted,5hz")[1]).stream.hop_seconds == 0.2
