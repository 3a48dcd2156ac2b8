"""From a name to a pair of encoder specs, from a spec to an encoder on a device."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, cast, get_args

import torch

from iamsb_core.encoders import clip, handcrafted_audio, handcrafted_video, lips, wavlm
from iamsb_core.encoders.base import Encoder, EncoderName, EncoderSpec
from iamsb_core.encoders.weights import find_weights, weights_digest
from iamsb_core.media.clip import FrameView

Dtype = Literal["float32", "bfloat16", "float16"]
DTYPES: tuple[str, ...] = get_args(Dtype)
VIDEO_RATES = ("25hz", "12.5hz", "5hz")
"""how many pictures a second a visual encoder may look at"""

_VERSIONS: dict[EncoderName, int] = {
    "wavlm": wavlm.VERSION,
    "clip": clip.VERSION,
    "handcrafted-audio": handcrafted_audio.VERSION,
    "handcrafted-video": handcrafted_video.VERSION,
}
_PRESETS = {
    "handcrafted": "handcrafted+handcrafted",
    "handcrafted-lips": "handcrafted+handcrafted+lips",
    "wavlm-clip": "wavlm:microsoft/wavlm-large@-1+clip:openai/clip-vit-base-patch16@-1",
    "wavlm-clip-lips": "wavlm:microsoft/wavlm-large@-1+clip:openai/clip-vit-base-patch16@-1+lips",
}
_PAIR = re.compile(r"(?P<audio>handcrafted|wavlm:.+?)\+(?P<visual>handcrafted|clip:.+?)(?P<lips>\+lips)?")
_FORM = "AUDIO+VISUAL, such as wavlm:/models/wavlm-large@-1+clip:/models/clip@-1 or wavlm:/models/wavlm+handcrafted"


def preset_names() -> tuple[str, ...]:
    """The pairs that have a name."""
    return tuple(_PRESETS)


def encoder_specs(name: str) -> tuple[EncoderSpec, EncoderSpec]:
    """The (audio, visual) specs, not yet resolved, of a named pair or of AUDIO+VISUAL; options may follow either.

    AUDIO is `handcrafted` or `wavlm:WEIGHTS[@LAYER]`, VISUAL is `handcrafted` or `clip:WEIGHTS[@LAYER]`; with `+lips`
    after it the mouth is looked at as well. WEIGHTS is a
    local folder or a hub id, LAYER a hidden state (-1, the default: the last). Options: `,DTYPE`, the networks'
    (float32), and `,RATEhz`, the pictures looked at in a second (25, or 12.5 or 5 for less work).
    Raises ValueError, with the nearest name, for anything else.
    """
    pair, given = re.fullmatch(r"(.*?)((?:,[\w.]*)*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
    dtype, rate_hz = _options(name, given.split(",")[1:])
    halves = _PAIR.fullmatch(_PRESETS.get(pair, pair))
    if halves is None:
        known = preset_names()
        raise ValueError(f"no encoders {pair!r}; there are {', '.join(known)}, or {_FORM}{_near(pair, known)}")
    visual = _visual_spec(halves["visual"], dtype, FrameView(rate_hz=rate_hz))
    return _audio_spec(halves["audio"], dtype), replace(visual, lips=lips.VERSION if halves["lips"] else 0)


def pair_name(audio: EncoderSpec, visual: EncoderSpec) -> str:
    """The pair as `encoder_specs` reads it. Raises ValueError where that gives something else, such as two dtypes."""
    halves = [
        f"{spec.name}:{spec.weights}@{spec.layer}" if _has_weights(spec) else "handcrafted" for spec in (audio, visual)
    ]
    dtypes = {spec.dtype for spec in (audio, visual) if _has_weights(spec)} - {"float32"}
    rate_hz = FrameView().rate_hz if visual.view is None else visual.view.rate_hz
    options = [*dtypes, *([] if rate_hz == FrameView().rate_hz else [f"{rate_hz:g}hz"])]
    name = ",".join(["+".join([*halves, *(["lips"] if visual.lips else [])]), *options])
    wanted = tuple(replace(spec, weights_digest="") for spec in (audio, visual))
    if encoder_specs(name) != wanted:
        raise ValueError(f"the pair {name!r} has no name that stands for it; give the encoders as specs")
    return name


def _options(name: str, given: Sequence[str]) -> tuple[Dtype, float]:
    """The networks' dtype and the pictures' rate. Raises ValueError for another word, and for two of a kind."""
    found: dict[str, str] = {}
    for word in given:
        kind = "rate" if word.endswith("hz") else "dtype"
        known = VIDEO_RATES if kind == "rate" else DTYPES
        if word not in known:
            raise ValueError(f"{name!r}: no {kind} {word!r}; there are {', '.join(known)}{_near(word, known)}")
        if kind in found:
            raise ValueError(f"{name!r} has two of a kind, {found[kind]} and {word}; leave one out")
        found[kind] = word
    return cast("Dtype", found.get("dtype", "float32")), float(found.get("rate", "25hz").removesuffix("hz"))


def resolve_spec(spec: EncoderSpec) -> EncoderSpec:
    """The spec with the digest of its weights, as they lie on this machine, filled in.

    Raises ValueError where the weights are not at hand (saying what to download), where they are not those that the
    spec was resolved with, or where the spec cannot be met by this code.
    """
    _check(spec)
    if not _has_weights(spec):
        return spec
    found = weights_digest(find_weights(spec.weights))
    if spec.weights_digest not in ("", found):
        raise ValueError(
            f"the weights of {spec.weights!r} have changed: digest {found[:12]}, but {spec.weights_digest[:12]} is "
            "wanted; put the earlier weights back, or extract the features again with these"
        )
    return replace(spec, weights_digest=found)


def load_encoder(spec: EncoderSpec, device: torch.device | str = "cpu") -> Encoder:
    """The encoder, frozen, on a device. Raises ValueError as `resolve_spec` does.

    Also for a spec with perturbations: an encoder takes clips as they come, and cannot vouch for what was done to them.
    """
    if spec.perturbations:
        raise ValueError(f"load the encoder of the clean clips, spec.perturbed(()), and perturb the clips: {spec}")
    if spec.lips:
        return lips.LipsEncoder(resolve_spec(spec), load_encoder(replace(spec, lips=0), device))
    resolved, on = resolve_spec(spec), torch.device(device)
    if resolved.name == "handcrafted-audio":
        return handcrafted_audio.HandcraftedAudioEncoder(resolved, on)
    if resolved.name == "handcrafted-video":
        return handcrafted_video.HandcraftedVideoEncoder(resolved, on)
    folder = find_weights(resolved.weights)
    if resolved.name == "wavlm":
        return wavlm.WavLMEncoder(resolved, folder, on)
    return clip.ClipEncoder(resolved, folder, on)


def outdated(spec: EncoderSpec) -> str | None:
    """Why no release that works like this one makes such features any more; None where it does, given the weights."""
    try:
        _check(spec.perturbed(()))
    except ValueError as error:
        return str(error)
    return None


def _audio_spec(text: str, dtype: Dtype) -> EncoderSpec:
    if text == "handcrafted":
        return EncoderSpec(name="handcrafted-audio", version=handcrafted_audio.VERSION)
    weights, layer = _weights_and_layer(text.removeprefix("wavlm:"))
    return EncoderSpec(name="wavlm", weights=weights, layer=layer, dtype=dtype, version=wavlm.VERSION)


def _visual_spec(text: str, dtype: Dtype, view: FrameView) -> EncoderSpec:
    if text == "handcrafted":
        return EncoderSpec(name="handcrafted-video", view=view, version=handcrafted_video.VERSION)
    weights, layer = _weights_and_layer(text.removeprefix("clip:"))
    return EncoderSpec(name="clip", weights=weights, layer=layer, dtype=dtype, view=view, version=clip.VERSION)


def _weights_and_layer(text: str) -> tuple[str, int]:
    """`WEIGHTS@LAYER` or `WEIGHTS`. Raises ValueError for a layer that is not a whole number."""
    weights, at, layer = text.rpartition("@")
    if not at:
        return text, -1
    if re.fullmatch(r"-1|\d+", layer) is None:
        raise ValueError(f"{text!r}: the layer after @ is a hidden state, -1 (the last) or 0, 1, 2 ..., not {layer!r}")
    return weights, int(layer)


def _check(spec: EncoderSpec) -> None:
    """Raises ValueError for a spec that this code cannot meet."""
    if spec.name not in _VERSIONS:
        raise ValueError(f"no encoder {spec.name!r}; there are {', '.join(_VERSIONS)}{_near(spec.name, [*_VERSIONS])}")
    if spec.version != _VERSIONS[spec.name]:
        raise ValueError(
            f"features of {spec.name!r} version {spec.version} are wanted, but this code makes version "
            f"{_VERSIONS[spec.name]}; extract them again, or use the release that made them"
        )
    is_visual = spec.name in ("clip", "handcrafted-video")
    if is_visual != (spec.view is not None):
        raise ValueError(f"the encoder {spec.name!r} {'needs a view' if is_visual else 'takes no view'}")
    if spec.lips and not is_visual:
        raise ValueError(f"the encoder {spec.name!r} hears; lips are for visual encoders")
    if spec.lips not in (0, lips.VERSION):
        raise ValueError(
            f"lips of version {spec.lips} are wanted, but this code crops version {lips.VERSION}; extract them again"
        )
    if not _has_weights(spec) and (spec.weights or spec.layer != -1 or spec.dtype != "float32"):
        raise ValueError(f"the encoder {spec.name!r} has no weights and no layers, and computes in float32")


def _has_weights(spec: EncoderSpec) -> bool:
    return spec.name in ("wavlm", "clip")


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
