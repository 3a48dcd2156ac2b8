"""Pictures in the view that an encoder wants: cropped and scaled, a window of cells at a time in bounded memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from iamsb_core.media.clip import FrameView
from iamsb_core.media.face import Square, SteadyFace
from iamsb_core.media.video import Pixels

CROP_WINDOW_SECONDS = 2.0
_WINDOW_BYTES = 256 << 20
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class ViewedCells:
    """A run of cells in the view."""

    frames: NDArray[np.uint8]
    """(num_cells, size, size, 3) RGB"""
    boxes: NDArray[np.float32]
    """(num_cells, 4): left, top, right, bottom in pixels of the upright picture; a letterbox reaches beyond it"""
    face_found: NDArray[np.bool_]
    """(num_cells,)"""
    num_faces: int = 0
    """the most faces seen at once so far"""


def view_cells(
    cells: Iterable[Pixels], view: FrameView, *, window_seconds: float = CROP_WINDOW_SECONDS
) -> Iterator[ViewedCells]:
    """Crop and scale the pictures of the grid's cells, (height, width, 3) each, a window at a time.

    A window is two seconds, less where its pictures would fill more than 256 MiB. One box serves a window, so shorter
    windows may give other boxes.
    """
    steady = SteadyFace()
    for window in _windows(cells, view, window_seconds):
        square, found = _square(window, view, steady)
        yield replace(_crop_window(window, square, found, view.size_pixels), num_faces=steady.num_faces)


def _windows(cells: Iterable[Pixels], view: FrameView, window_seconds: float) -> Iterator[list[Pixels]]:
    remaining = iter(cells)
    for first in remaining:
        num_cells = min(round(window_seconds * view.rate_hz), _WINDOW_BYTES // first.nbytes)
        yield [first, *itertools.islice(remaining, max(0, num_cells - 1))]


def _square(window: list[Pixels], view: FrameView, steady: SteadyFace) -> tuple[Square, bool]:
    """The region to show of this window, and whether a face carries it. It may reach beyond the picture."""
    height, width = window[0].shape[:2]
    whole = Square(width / 2, height / 2, max(height, width))
    if view.crop == "letterbox":
        return whole, False
    centre = whole._replace(side=min(height, width))
    if view.crop == "centre":
        return centre, False
    looks = window[:: max(1, round(_LOOK_SECONDS * view.rate_hz))]
    face, found = steady.follow(looks)
    return (centre, False) if face is None else (_inside(face, height, width), found)


def _inside(square: Square, height: int, width: int) -> Square:
    """The square moved (and, where it must be, shrunk) into the picture."""
    side = min(square.side, height, width)
    centre_x = min(max(square.centre_x, side / 2), width - side / 2)
    centre_y = min(max(square.centre_y, side / 2), height - side / 2)
    return Square(centre_x, centre_y, side)


def _crop_window(window: list[Pixels], square: Square, found: bool, size_pixels: int) -> ViewedCells:
    side = max(1, round(square.side))
    left, top = round(square.centre_x - side / 2), round(square.centre_y - side / 2)
    frames = np.empty((len(window), size_pixels, size_pixels, 3), dtype=np.uint8)
    for index, picture in enumerate(window):
        if index > 0 and picture is window[index - 1]:
            frames[index] = frames[index - 1]
        else:
            crop_square(picture, left, top, side, size_pixels, out=frames[index])
    box = np.asarray([left, top, left + side, top + side], dtype=np.float32)
    return ViewedCells(frames, np.tile(box, (len(window), 1)), np.full(len(window), found))


def crop_square(
    picture: Pixels, left: int, top: int, side: int, size_pixels: int, *, out: Pixels | None = None
) -> Pixels:
    """The square region of a picture as (size_pixels, size_pixels, 3); what lies outside the picture is black.

    out: where to write it, if anywhere.
    """
    height, width = picture.shape[:2]
    shown = picture[max(top, 0) : min(top + side, height), max(left, 0) : min(left + side, width)]
    if shown.shape[:2] != (side, side):
        above, before = max(-top, 0), max(-left, 0)
        below, after = side - shown.shape[0] - above, side - shown.shape[1] - before
        shown = np.pad(shown, ((above, below), (before, after), (0, 0)))
    method = cv2.INTER_AREA if side > size_pixels else cv2.INTER_LINEAR
    resized = cv2.resize(shown, (size_pixels, size_pixels), dst=out, interpolation=method)
    return np.asarray(resized, dtype=np.uint8)
