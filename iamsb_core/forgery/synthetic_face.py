"""A drawn person's moving face before a textured background, seen by a camera with noise of its own."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from iamsb_core.forgery.config import FRAME_RATE_HZ, SIZE_PIXELS

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

_MARGIN = 24
_NUM_NOISE_FIELDS = 12
_SUBPIXEL_BITS = 3


@dataclass(frozen=True, kw_only=True)
class Face:
    """What makes one person's face theirs, and their camera. Lengths are shares of the crop's size."""

    half_width: float
    half_height: float
    skin: Colour
    hair: Colour
    lips: Colour
    iris: Colour
    hair_line: float
    eye_distance: float
    eye_size: float
    brow_thickness: int
    mouth_width: float
    has_beard: bool
    has_glasses: bool
    liveliness: float
    blinks_per_second: float
    noise_level: float
    light_from_left: float


def draw_face(rng: np.random.Generator) -> Face:
    """A person's looks."""
    skin = np.array([235, 195, 165]) * rng.uniform(0.4, 1.0) * rng.uniform(0.94, 1.06, 3)
    hair = np.array([60, 45, 35]) * rng.uniform(0.3, 3.2) * rng.uniform(0.85, 1.15, 3)
    lips = skin * np.array([0.85, 0.6, 0.6]) * rng.uniform(0.85, 1.05)
    return Face(
        half_width=rng.uniform(0.235, 0.285),
        half_height=rng.uniform(0.32, 0.37),
        skin=_colour(skin),
        hair=_colour(hair),
        lips=_colour(lips),
        iris=_colour(rng.uniform(30, 130, 3)),
        hair_line=rng.uniform(0.45, 0.7),
        eye_distance=rng.uniform(0.1, 0.125),
        eye_size=rng.uniform(0.034, 0.046),
        brow_thickness=int(rng.integers(2, 6)),
        mouth_width=rng.uniform(0.075, 0.105),
        has_beard=bool(rng.random() < 0.25),
        has_glasses=bool(rng.random() < 0.25),
        liveliness=rng.uniform(0.5, 1.5),
        blinks_per_second=rng.uniform(0.15, 0.45),
        noise_level=rng.uniform(1.5, 4.5),
        light_from_left=rng.uniform(-0.25, 0.25),
    )


@dataclass(frozen=True)
class Motion:
    """What the face does in each frame, (num_frames,) each."""

    openness: NDArray[np.float64]
    width: NDArray[np.float64]
    shift_x: NDArray[np.float64]
    shift_y: NDArray[np.float64]
    turn_degrees: NDArray[np.float64]
    lids: NDArray[np.float64]
    """0 open to 1 closed"""
    gaze: NDArray[np.float64]
    brows: NDArray[np.float64]


def move(
    face: Face,
    openness: NDArray[np.float64],
    width: NDArray[np.float64],
    accent: NDArray[np.float64],
    rng: np.random.Generator,
) -> Motion:
    """Head, eyes and brows for a mouth that moves like this; all at 25 Hz."""
    num_frames = len(openness)

    def wander(smooth_frames: float, spread: float) -> NDArray[np.float64]:
        track = gaussian_filter1d(rng.standard_normal(num_frames), smooth_frames, mode="wrap")
        return np.asarray(track / max(float(track.std()), 1e-9) * spread * face.liveliness)

    return Motion(
        openness=openness,
        width=width,
        shift_x=wander(14.0, 3.0) + wander(4.0, 0.5),
        shift_y=wander(16.0, 2.0) + 5.0 * face.liveliness * (accent - 0.3),
        turn_degrees=wander(18.0, 2.2) + wander(5.0, 0.3),
        lids=_blinks(face, num_frames, rng),
        gaze=np.round(wander(10.0, 1.4)),
        brows=4.0 * accent,
    )


def _blinks(face: Face, num_frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    starts = rng.random(num_frames) < face.blinks_per_second / FRAME_RATE_HZ
    return np.asarray(np.minimum(1.0, np.convolve(starts, [0.4, 1.0, 1.0, 0.6, 0.2])[:num_frames]))


def film(face: Face, motion: Motion, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Frames (n, 224, 224, 3) RGB and the face's box in each, (n, 4) left, top, right, bottom."""
    background, head, light = _background(rng), _head(face, rng), _light(face)
    noise = _noise_fields(face, rng)
    pattern = np.rint(rng.standard_normal((SIZE_PIXELS, SIZE_PIXELS, 3)) * 0.35 * face.noise_level).astype(np.int16)
    frames = np.empty((len(motion.openness), SIZE_PIXELS, SIZE_PIXELS, 3), dtype=np.uint8)
    exposure = 1 + 0.015 * np.sin(np.arange(len(frames)) / 30 + rng.uniform(0, 6.28))
    for i in range(len(frames)):
        picture = _compose(background, _animate(face, head, motion, i), motion, i)
        lit = cv2.multiply(picture, light, scale=float(exposure[i]), dtype=cv2.CV_8U)
        down, right = rng.integers(0, 32, 2)
        grain = noise[int(rng.integers(_NUM_NOISE_FIELDS))][down : down + SIZE_PIXELS, right : right + SIZE_PIXELS]
        frames[i] = cv2.add(lit, grain + pattern, dtype=cv2.CV_8U)
    return frames, _boxes(face, motion)


def _boxes(face: Face, motion: Motion) -> NDArray[np.float32]:
    half_width, half_height = 0.95 * face.half_width * SIZE_PIXELS, face.half_height * SIZE_PIXELS
    centre = 0.5 * SIZE_PIXELS
    edges = (-half_width, -0.75 * half_height, half_width, 0.95 * half_height)
    shifts = (motion.shift_x, motion.shift_y, motion.shift_x, motion.shift_y)
    return np.stack([centre + edge + shift for edge, shift in zip(edges, shifts, strict=True)], 1).astype(np.float32)


def _background(rng: np.random.Generator) -> Picture:
    """Smooth colours, some lines and fine texture, larger than the crop so that the camera may shake."""
    size = SIZE_PIXELS + 2 * _MARGIN
    coarse = rng.uniform(40, 200) + rng.normal(0, 22, 3) + rng.normal(0, 18, (4, 4, 3))
    picture = cv2.resize(np.clip(coarse, 0, 255).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(2, 7))):
        first, second = (tuple(int(v) for v in rng.integers(0, size, 2)) for _ in range(2))
        shade = tuple(float(v) for v in rng.uniform(20, 230, 3))
        cv2.line(picture, first, second, shade, int(rng.integers(1, 9)), cv2.LINE_AA)
    texture = cv2.GaussianBlur(rng.standard_normal((size, size, 3)).astype(np.float32), (0, 0), rng.uniform(0.8, 2.0))
    return np.asarray(np.clip(picture + texture * rng.uniform(8, 25), 0, 255), dtype=np.uint8)


def _head(face: Face, rng: np.random.Generator) -> Picture:
    """(224, 224, 4): hair, neck and skin with texture, and how opaque each pixel is; without eyes and mouth."""
    size = SIZE_PIXELS
    canvas = np.zeros((size, size, 4), dtype=np.uint8)
    wide, high = face.half_width * size, face.half_height * size
    middle = size / 2
    _ellipse(canvas, (middle, middle - 0.12 * high), (1.12 * wide, 1.05 * high), (*face.hair, 255))
    shoulders = _colour(rng.uniform(20, 220, 3))
    _ellipse(canvas, (middle, 1.08 * size), (1.7 * wide, 0.25 * size), (*shoulders, 255))
    neck = np.array([[middle + s * 0.5 * wide, y] for s, y in ((-1, 0.7), (1, 0.7), (1, 1.0), (-1, 1.0))])
    neck[:, 1] *= size
    cv2.fillPoly(canvas, [neck.astype(np.int32)], (*_colour(0.8 * np.array(face.skin)), 255), cv2.LINE_AA)
    _ellipse(canvas, (middle, middle), (wide, high), (*face.skin, 255))
    if face.has_beard:
        shade = _colour(0.5 * np.array(face.skin) + 0.5 * np.array(face.hair))
        _ellipse(canvas, (middle, middle + 0.55 * high), (0.78 * wide, 0.42 * high), (*shade, 255))
    fringe = (middle, middle - 0.95 * high)
    _ellipse(canvas, fringe, (0.95 * wide, 0.6 * high * (1.1 - face.hair_line)), (*face.hair, 255))
    texture = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), 1.2) * 14
    shaded = canvas[..., :3] + texture[..., None] * (canvas[..., 3:] > 0)
    canvas[..., :3] = np.clip(shaded, 0, 255).astype(np.uint8)
    nose = [(middle, middle), (middle - 0.12 * wide, middle + 0.24 * high), (middle + 0.1 * wide, middle + 0.25 * high)]
    points = np.array(nose).astype(np.int32)
    cv2.polylines(canvas, [points], False, (*_colour(0.75 * np.array(face.skin)), 255), 2, cv2.LINE_AA)
    return canvas


def _light(face: Face) -> NDArray[np.float32]:
    ramp = 1 + face.light_from_left * np.linspace(1, -1, SIZE_PIXELS, dtype=np.float32)
    return np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (SIZE_PIXELS, SIZE_PIXELS, 3)), dtype=np.float32)


def _noise_fields(face: Face, rng: np.random.Generator) -> NDArray[np.int16]:
    """A few fields of sensor noise, a little correlated between neighbours as demosaicing leaves it."""
    shape = (_NUM_NOISE_FIELDS, SIZE_PIXELS + 32, SIZE_PIXELS + 32, 3)
    fields = rng.standard_normal(shape, dtype=np.float32) * face.noise_level
    for field in fields:
        field[:] = 1.3 * cv2.blur(field, (2, 1))
    return np.asarray(np.rint(fields), dtype=np.int16)


def _animate(face: Face, head: Picture, motion: Motion, i: int) -> Picture:
    """The head with this frame's eyes, brows, jaw and mouth, still upright in the middle."""
    size, middle = SIZE_PIXELS, SIZE_PIXELS / 2
    canvas = _drop_jaw(head, face, 7.0 * motion.openness[i])
    eye = face.eye_size * size
    level = middle - 0.16 * face.half_height * size
    for side in (-1, 1):
        centre = (middle + side * face.eye_distance * size, level)
        _ellipse(canvas, centre, (eye, 0.58 * eye * (1 - 0.92 * motion.lids[i])), (238, 236, 232, 255))
        if motion.lids[i] < 0.7:
            iris = (centre[0] + motion.gaze[i], centre[1])
            _ellipse(canvas, iris, (0.45 * eye, 0.45 * eye * (1 - 0.5 * motion.lids[i])), (*face.iris, 255))
            _ellipse(canvas, iris, (0.2 * eye, 0.2 * eye), (15, 12, 12, 255))
        brow = np.array([centre[0] - eye, centre[0] + eye]), level - 1.25 * eye - motion.brows[i]
        ends = [(int(x), int(brow[1])) for x in brow[0]]
        cv2.line(canvas, ends[0], ends[1], (*face.hair, 255), face.brow_thickness, cv2.LINE_AA)
        if face.has_glasses:
            cv2.circle(canvas, (int(centre[0]), int(centre[1])), int(1.5 * eye), (25, 25, 30, 255), 2, cv2.LINE_AA)
    _draw_mouth(canvas, face, float(motion.openness[i]), float(motion.width[i]))
    return canvas


def _drop_jaw(head: Picture, face: Face, pixels: float) -> Picture:
    """The part below the upper lip made that much longer."""
    size = SIZE_PIXELS
    lip = int(size / 2 + 0.42 * face.half_height * size)
    chin = int(size / 2 + 1.02 * face.half_height * size)
    longer = cv2.resize(head[lip:chin], (size, chin - lip + round(max(pixels, 0.0))), interpolation=cv2.INTER_LINEAR)
    canvas = head.copy()
    room = min(len(longer), size - lip)
    canvas[lip : lip + room] = longer[:room]
    return canvas


def _draw_mouth(canvas: Picture, face: Face, openness: float, width: float) -> None:
    size = SIZE_PIXELS
    gap = 13.0 * max(openness, 0.0)
    half = face.mouth_width * size * (1 + 0.18 * width)
    centre = (size / 2, size / 2 + 0.5 * face.half_height * size + 0.45 * gap)
    _ellipse(canvas, centre, (half, 3.5 + 0.62 * gap), (*face.lips, 255))
    if gap > 1.0:
        _ellipse(canvas, centre, (0.86 * half, 0.6 * gap), (55, 18, 22, 255))
        _ellipse(canvas, (centre[0], centre[1] - 0.36 * gap), (0.6 * half, 0.2 * gap), (225, 222, 212, 255))
    else:
        ends = [(int(centre[0] + side * 0.85 * half), int(centre[1])) for side in (-1, 1)]
        cv2.line(canvas, ends[0], ends[1], (*_colour(0.55 * np.array(face.lips)), 255), 1, cv2.LINE_AA)


def _compose(background: Picture, head: Picture, motion: Motion, i: int) -> Picture:
    """The head turned and moved, over the background."""
    size = SIZE_PIXELS
    matrix = cv2.getRotationMatrix2D((size / 2, 0.85 * size), float(motion.turn_degrees[i]), 1.0)
    matrix[:, 2] += (motion.shift_x[i], motion.shift_y[i])
    moved = cv2.warpAffine(head, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.cvtColor(np.ascontiguousarray(moved[..., 3]), cv2.COLOR_GRAY2RGB)
    left, top = (round(_MARGIN + 0.15 * shift[i]) for shift in (motion.shift_x, motion.shift_y))
    behind = background[top : top + size, left : left + size]
    front = cv2.multiply(np.ascontiguousarray(moved[..., :3]), alpha, scale=1 / 255)
    return np.asarray(cv2.add(front, cv2.multiply(behind, 255 - alpha, scale=1 / 255)), dtype=np.uint8)


def _ellipse(canvas: Picture, centre: tuple[float, float], axes: tuple[float, float], colour: tuple[int, ...]) -> None:
    unit = 1 << _SUBPIXEL_BITS
    at = (round(centre[0] * unit), round(centre[1] * unit))
    half = (max(1, round(axes[0] * unit)), max(1, round(axes[1] * unit)))
    cv2.ellipse(canvas, at, half, 0, 0, 360, colour, -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _colour(values: NDArray[np.float64]) -> Colour:
    red, green, blue = (int(v) for v in np.clip(values, 0, 255))
    return red, green, blue
