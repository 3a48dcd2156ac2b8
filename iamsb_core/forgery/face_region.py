"""Where the face and the mouth are in a crop, and soft masks over them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Region = Literal["mouth", "lower_face", "face"]

_ELLIPSES: dict[Region, tuple[float, float, float]] = {
    "mouth": (0.79, 0.30, 0.17),
    "lower_face": (0.72, 0.40, 0.30),
    "face": (0.52, 0.46, 0.56),
}
"""centre below the box's top, half width, half height; in shares of the face box's height, width, height"""
_CASCADE = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
_FEATHER = 0.35
_DEFAULT_BOX = (0.22, 0.2, 0.78, 0.82)
_LOOK_EVERY_FRAMES = 8
_NUM_SMOOTHED_FRAMES = 9


def track_face(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(num_frames, 4) left, top, right, bottom in pixels: looked for in every eighth frame, joined and smoothed.

    Where no face is found at all, the middle of the crop, which is where the decoder puts a face.
    """
    size = frames.shape[1]
    cascade = cv2.CascadeClassifier(str(_CASCADE))
    found: list[tuple[int, NDArray[np.float64]]] = []
    for index in range(0, len(frames), _LOOK_EVERY_FRAMES):
        grey = cv2.cvtColor(np.ascontiguousarray(frames[index]), cv2.COLOR_RGB2GRAY)
        boxes = cascade.detectMultiScale(grey, scaleFactor=1.15, minNeighbors=4, minSize=(size // 4, size // 4))
        if len(boxes):
            left, top, width, height = max(boxes, key=lambda box: box[2])
            found.append((index, np.array([left, top, left + width, top + height], dtype=np.float64)))
    if not found:
        return np.tile(np.array(_DEFAULT_BOX, dtype=np.float32) * size, (len(frames), 1))
    return _smooth([i for i, _ in found], np.stack([box for _, box in found]), len(frames))


def _smooth(indices: list[int], boxes: NDArray[np.float64], num_frames: int) -> NDArray[np.float32]:
    """Boxes at some frames as a smooth track over all, stray detections replaced by the median."""
    median = np.median(boxes, axis=0)
    stray = np.abs(boxes - median).max(axis=1) > 0.3 * (median[2] - median[0])
    boxes = np.where(stray[:, None], median, boxes)
    every = np.stack([np.interp(np.arange(num_frames), indices, boxes[:, k]) for k in range(4)], axis=1)
    padded = np.pad(every, ((_NUM_SMOOTHED_FRAMES // 2,) * 2, (0, 0)), mode="edge")
    kernel = np.full(_NUM_SMOOTHED_FRAMES, 1 / _NUM_SMOOTHED_FRAMES)
    return np.stack([np.convolve(padded[:, k], kernel, mode="valid") for k in range(4)], axis=1).astype(np.float32)


def soft_mask(face: NDArray[np.float32], region: Region, size: int) -> NDArray[np.float32]:
    """(size, size) in [0, 1]: 1 inside the region's ellipse, falling smoothly to 0 outside it."""
    left, top, right, bottom = (float(edge) for edge in face)
    below, half_width, half_height = _ELLIPSES[region]
    centre_x, centre_y = (left + right) / 2, top + below * (bottom - top)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    distance = np.hypot((x - centre_x) / (half_width * (right - left)), (y - centre_y) / (half_height * (bottom - top)))
    share = np.clip((1 + _FEATHER / 2 - distance) / _FEATHER, 0.0, 1.0)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)


def blend(genuine: NDArray[np.uint8], forged: NDArray[np.uint8], mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(size, size, 3): the forged picture where the mask is 1, exactly the genuine one where it is 0."""
    alpha = mask[..., None]
    return np.asarray(np.rint(genuine * (1 - alpha) + forged * alpha), dtype=np.uint8)


def move_onto(picture: NDArray[np.uint8], face: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The picture shifted and scaled so that its face box lies on the target's."""
    scale = float((target[2] - target[0]) / max(face[2] - face[0], 1.0))
    shift = (target[:2] + target[2:]) / 2 - scale * (face[:2] + face[2:]) / 2
    matrix = np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])
    size = picture.shape[1], picture.shape[0]
    moved = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)
