"""Perturbations of the picture, frame by frame: (size, size, 3) uint8 RGB in, the same shape out.

What is perturbed is the crop that the encoder is shown, at its size (224 pixels unless its view says otherwise): the
face was found in the clean picture, and a strength in pixels means pixels of the crop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from iamsb_core.media.perturbations.codecs import h264_frames
from iamsb_core.media.perturbations.spec import KINDS, KindName, PerturbationSpec

Frame = NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114])
"""BT.601, as JPEG has it"""
_GREY = 128
_BLOCK_PIXELS = 8


def perturb_frames(frames: Iterable[Frame], spec: PerturbationSpec, media_sha256: str) -> Iterator[Frame]:
    """As many frames as came, in order; no more than a codec's look-ahead of them is held."""
    if spec.kind == "h264":
        yield from h264_frames(frames, crf=round(spec.strength))
        return
    change = _CHANGES[spec.kind]
    for index, frame in enumerate(frames):
        yield change(np.ascontiguousarray(frame), spec, spec.generator(media_sha256, index))


def _jpeg(frame: Frame, spec: PerturbationSpec, _: np.random.Generator) -> Frame:
    """Through libjpeg at 4:2:0, as cameras and web sites write it."""
    options = [cv2.IMWRITE_JPEG_QUALITY, round(spec.strength)]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)
    assert done
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return _bytes(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


def _blur(frame: Frame, spec: PerturbationSpec, _: np.random.Generator) -> Frame:
    return _bytes(cv2.GaussianBlur(frame, (0, 0), spec.strength))


def _noise(frame: Frame, spec: PerturbationSpec, rng: np.random.Generator) -> Frame:
    """White, of its own in every frame, pixel and colour."""
    drawn = rng.standard_normal(frame.shape, dtype=np.float32)
    return _bytes(np.clip(np.rint(frame + np.float32(255.0 * spec.strength**0.5) * drawn), 0, 255).astype(np.uint8))


def _saturation(frame: Frame, spec: PerturbationSpec, _: np.random.Generator) -> Frame:
    """Every pixel moved towards its own grey."""
    towards_grey = spec.strength * np.eye(3) + (1.0 - spec.strength) * np.tile(_LUMA, (3, 1))
    return _bytes(cv2.transform(frame, towards_grey))


def _contrast(frame: Frame, spec: PerturbationSpec, _: np.random.Generator) -> Frame:
    """Every value moved towards mid-grey."""
    table = np.rint(_GREY + spec.strength * (np.arange(256) - _GREY)).astype(np.uint8)
    return _bytes(table[frame])


def _blocks(frame: Frame, spec: PerturbationSpec, rng: np.random.Generator) -> Frame:
    """Grey squares of 8 pixels anywhere, at other places in every frame, like packets that were lost."""
    places = rng.random((int(max(KINDS["blocks"].strengths)), 2))[: int(spec.strength)]
    spoiled = frame.copy()
    room = np.maximum(np.array(frame.shape[:2]) - _BLOCK_PIXELS + 1, 1)
    for top, left in (places * room).astype(int).tolist():
        spoiled[top : top + _BLOCK_PIXELS, left : left + _BLOCK_PIXELS] = _GREY
    return spoiled


def _bytes(image: Any) -> Frame:
    return cast("Frame", image)


_CHANGES: dict[KindName, Callable[[Frame, PerturbationSpec, np.random.Generator], Frame]] = {
    "jpeg": _jpeg,
    "blur": _blur,
    "pixel-noise": _noise,
    "saturation": _saturation,
    "contrast": _contrast,
    "blocks": _blocks,
}
