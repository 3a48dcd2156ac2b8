"""Where an encoder's weights lie on this machine, the digest of what they are, and the frozen model in them.

Nothing is downloaded here, and nothing is unpickled: weights are safetensors, whatever else lies in the folder. A
checkpoint of PyTorch's own (`pytorch_model.bin`) is a pickle, which can run code when it is read.
"""

from __future__ import annotations

import functools
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from iamsb_core.digest import digest, file_sha256

CONFIG_FILES = ("config.json", "preprocessor_config.json")
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
"""In the order in which transformers looks for them."""
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.bin", "model.pt", "model.pth", "model.ckpt")
_SHARD_NAME = re.compile(r"[\w.-]+\.safetensors")


def find_weights(weights: str) -> Path:
    """The folder that holds a hub id's or a local folder's weights.

    Raises ValueError, with what to download and where to put it, where they are not on this machine.
    """
    folder = Path(weights).expanduser()
    if folder.is_dir():
        return _complete(folder, weights)
    if not weights or weights.startswith(("/", ".", "~")) or weights.count("/") != 1:
        raise ValueError(f"no folder {weights!r} with an encoder's weights; {_way_out('MODEL')}")
    snapshot = _cached_snapshot(weights)
    if snapshot is None:
        raise ValueError(f"no weights of {weights!r} on this machine; {_way_out(weights)}")
    return _complete(snapshot, weights)


def weights_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of the configuration files and of the weights that would be loaded."""
    names = [*CONFIG_FILES, *_weight_names(folder)]
    return digest({name: _sha256(folder / name) for name in names})


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """One JSON object of the folder. Raises ValueError where it is not one."""
    try:
        content = json.loads((folder / name).read_text())
    except ValueError as error:
        raise ValueError(f"{folder / name} is not JSON ({error}); download it again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{folder / name} holds a {type(content).__name__}, not an object; download it again")
    return content


def load_frozen(
    model_class: Any, folder: Path, *, model_types: tuple[str, ...], dispensable: tuple[str, ...] = ()
) -> Any:
    """The folder's model in float32, for inference only, without its `dispensable` parameters if need be.

    Raises ValueError where the configuration is of none of the model types, and where the weights cannot be read or do
    not fill the model: transformers would fill it up with random numbers, and say so only in its log.
    """
    found = read_config(folder, "config.json").get("model_type")
    if found not in model_types:
        raise ValueError(
            f"{folder} holds a model of type {found!r}, not {' or '.join(model_types)}; name another folder"
        )
    with quiet_transformers():
        try:
            model, report = model_class.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            raise ValueError(f"the weights at {folder} cannot be read ({error}); download them again") from error
    missing = sorted(key for key in report["missing_keys"] if key not in dispensable)
    if missing:
        raise ValueError(
            f"the weights at {folder} are not those of a {model_class.__name__}: {len(missing)} parameters are "
            f"missing, such as {missing[0]}; give the folder of such a model"
        )
    return model.eval().requires_grad_(requires_grad=False)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no table of unused keys (a full CLIP's text half) while a model is loaded."""
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415 - seconds to import

    switches: Any = transformers_logging
    logger, had_bars = logging.getLogger("transformers"), switches.is_progress_bar_enabled()
    level = logger.level
    logger.setLevel(logging.ERROR)
    switches.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if had_bars:
            switches.enable_progress_bar()


def _complete(folder: Path, weights: str) -> Path:
    """The folder, if everything an encoder needs is in it."""
    missing = [name for name in CONFIG_FILES if not (folder / name).is_file()]
    names = _weight_names(folder)
    missing += [name for name in names if not (folder / name).is_file()]
    if not names:
        pickles = [name for name in _PICKLES if (folder / name).is_file()]
        if pickles:
            raise ValueError(
                f"the weights of {weights!r} at {folder} are a pickle ({pickles[0]}), which can run code when it is "
                "read, so it is never opened here; convert it to model.safetensors once, where nothing is to be lost "
                "(docs/security.md says how), or fetch the safetensors that the hub has made of it"
            )
        missing.append("model.safetensors")
    if missing:
        raise ValueError(f"the weights of {weights!r} at {folder} lack {', '.join(missing)}; {_way_out(weights)}")
    return folder


def _weight_names(folder: Path) -> list[str]:
    """The weight files that transformers would load: one file, or an index and its shards."""
    first = next((name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if first is None:
        return []
    if not first.endswith(".index.json"):
        return [first]
    shards = sorted(set(map(str, read_config(folder, first).get("weight_map", {}).values())))
    odd = [name for name in shards if not _SHARD_NAME.fullmatch(name)]
    if odd:
        raise ValueError(
            f"{folder / first} names {odd[0]!r}, which is no safetensors file of its folder; do not use it"
        )
    return [first, *shards]


def _cached_snapshot(weights: str) -> Path | None:
    """The hub's local snapshot of a repository's main revision, if there is one."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - a second to import, only hub ids need it

    found = try_to_load_from_cache(weights, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def _sha256(path: Path) -> str:
    stat = path.stat()
    return _sha256_of_version(path.resolve(), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256_of_version(path: Path, size_bytes: int, modified_ns: int) -> str:  # noqa: ARG001 - size and time are the key
    return file_sha256(path)


def _way_out(weights: str) -> str:
    repository = weights if weights.count("/") == 1 and not weights.startswith(("/", ".", "~")) else "OWNER/MODEL"
    return (
        f"on a machine with network, `hf download {repository} {' '.join(CONFIG_FILES)} model.safetensors "
        "--local-dir FOLDER` (docs/security.md where the repository has only pytorch_model.bin), copy FOLDER here and "
        "name it as the weights; or use the encoders `handcrafted`, which need no weights"
    )
