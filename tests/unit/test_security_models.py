"""Crafted weights: pickles under every name, and safetensors whose header lies. Nothing runs; a sentence says why."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.encoders.load import load_encoder, resolve_spec
from iamsb_core.encoders.weights import find_weights
from iamsb_core.localizer import Localizer
from iamsb_core.media.clip import FrameView
from iamsb_core.training.model_folder import CARD_FILE, WEIGHTS_FILE, load_model
from storage.home import Home
from storage.mlflow_setup import connect
from storage.pyfunc_loader import _load_pyfunc
from storage.registry import resolve_model


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.sprung,))


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path / "sprung")


@pytest.fixture
def model(untrained_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untrained_model, tmp_path / "model"))


def test_the_trap_works(trap: Trap) -> None:
    pickle.loads(pickle.dumps(trap))
    assert trap.sprung.exists()


def test_a_pickle_in_the_place_of_weights_is_not_opened(model: Path, trap: Trap) -> None:
    for content in (pickle.dumps(trap), pickle.dumps({"a": trap}, protocol=0)):
        (model / WEIGHTS_FILE).write_bytes(content)
        with pytest.raises(ValueError, match=r"the weights in .* are damaged"):
            load_model(model)
    torch.save({"a": trap}, model / WEIGHTS_FILE)
    for load in (load_model, Localizer.load, lambda folder: _load_pyfunc(str(folder))):
        with pytest.raises(ValueError, match=r"the weights in .* are damaged"):
            load(model)
    assert not trap.sprung.exists()


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin", "weights.PTH", "last.ckpt", "python_model.pkl"])
def test_a_folder_with_a_pickle_and_no_safetensors_says_so(model: Path, trap: Trap, name: str, tmp_path: Path) -> None:
    (model / WEIGHTS_FILE).unlink()
    torch.save({"a": trap}, model / name)
    words = rf"lacks {WEIGHTS_FILE}.*such as {name}, is a pickle, which can run code and is never opened here"
    with pytest.raises(ValueError, match=words):
        load_model(model)
    with pytest.raises(ValueError, match=words):
        resolve_model(Home(tmp_path / "home"), str(model))
    assert not trap.sprung.exists()


def test_an_mlflow_model_that_is_a_pickle_is_refused(
    trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = Home(tmp_path / "home")
    folder = home.artifacts / "foreign"
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.model\n")
    (folder / "python_model.pkl").write_bytes(pickle.dumps(trap))
    client = connect(home)
    client.create_registered_model("iamsb")
    client.create_model_version("iamsb", folder.as_uri())
    client.set_registered_model_alias("iamsb", "champion", "1")
    for uri in ("models:/iamsb/1", "models:/iamsb@champion", str(folder)):
        with pytest.raises(ValueError, match=r"holds no card.json.*python_model.pkl, is a pickle"):
            resolve_model(home, uri)
    assert not trap.sprung.exists()


def header(tensors: dict[str, Any], size: int | None = None) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text


LYING = {
    "empty": b"",
    "a length and nothing else": struct.pack("<Q", 8),
    "a header of 2^63 bytes": header({}, 1 << 63),
    "a header of 1 GiB": header({}, 1 << 30),
    "a header longer than the file": header({}, 200),
    "no JSON": struct.pack("<Q", 4) + b"{{{{",
    "no object": header([1, 2]),  # type: ignore[arg-type]
    "a tensor of 2^60 numbers": header({"a": {"dtype": "F32", "shape": [1 << 60], "data_offsets": [0, 1 << 62]}}),
    "a size that overflows": header({"a": {"dtype": "F64", "shape": [1 << 62, 8], "data_offsets": [0, 0]}}),
    "offsets that run backwards": header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [8, 4]}}) + b"x" * 8,
    "offsets before the data": header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}) + b"x" * 8,
    "bytes that nothing owns": header({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}) + b"x" * 99,
    "an unknown type": header({"a": {"dtype": "PICKLE", "shape": [1], "data_offsets": [0, 1]}}) + b"x",
    "depth": struct.pack("<Q", 200_000) + b'{"a":' + b"[" * 199_995,
}


@pytest.mark.parametrize("content", LYING.values(), ids=LYING)
def test_a_header_that_lies_is_refused(model: Path, content: bytes) -> None:
    (model / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(ValueError, match=r"the weights in .* are damaged"):
        load_model(model)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 200_000, "is damaged"),
        ("[]", "has format 'list'"),
        ('{"format": "iamsb-model-v9"}', "has format 'iamsb-model-v9'"),
        ('{"format": "iamsb-model-v1", "system": "os.system"}', "model card"),
        ("\x80\x04.", "is damaged"),
    ],
)
def test_a_card_that_is_none_is_refused(model: Path, text: str, words: str) -> None:
    (model / CARD_FILE).write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=words):
        load_model(model)


def encoder_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "clip_vision_model"}')
    (folder / "preprocessor_config.json").write_text('{"do_normalize": false}')
    return folder


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_an_encoder_that_is_a_pickle_is_refused(tmp_path: Path, trap: Trap, name: str) -> None:
    folder = encoder_folder(tmp_path / "clip")
    torch.save({"a": trap}, folder / name)
    spec = EncoderSpec(name="clip", weights=str(folder), view=FrameView())
    for use in (find_weights, lambda _: resolve_spec(spec), lambda _: load_encoder(spec)):
        with pytest.raises(ValueError, match=rf"are a pickle \({name}\), which can run code.*docs/security.md"):
            use(str(folder))
    assert not trap.sprung.exists()


def test_an_encoder_whose_safetensors_are_a_pickle_or_elsewhere_is_refused(tmp_path: Path, trap: Trap) -> None:
    folder = encoder_folder(tmp_path / "clip")
    spec = EncoderSpec(name="clip", weights=str(folder), view=FrameView())
    torch.save({"a": trap}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"cannot be read .*download them again"):
        load_encoder(spec)
    (folder / "model.safetensors").unlink()
    torch.save({"a": trap}, tmp_path / "outside.safetensors")
    for odd in ("../outside.safetensors", "pytorch_model-00001.bin", str(tmp_path / "outside.safetensors")):
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": odd}}))
        with pytest.raises(ValueError, match="which is no safetensors file of its folder"):
            load_encoder(spec)
    assert not trap.sprung.exists()


def test_code_beside_an_encoder_is_not_run(tmp_path: Path, trap: Trap) -> None:
    """The hub lets a configuration name Python files of its folder (`auto_map`)."""
    folder = encoder_folder(tmp_path / "clip")
    auto = {"model_type": "clip_vision_model", "auto_map": {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}}
    (folder / "config.json").write_text(json.dumps(auto))
    (folder / "evil.py").write_text(f"open({str(trap.sprung)!r}, 'w')")
    (folder / "model.safetensors").write_bytes(header({}))
    with pytest.raises(ValueError, match="parameters are missing"):
        load_encoder(EncoderSpec(name="clip", weights=str(folder), view=FrameView()))
    assert not trap.sprung.exists()
