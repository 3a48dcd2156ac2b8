"""Where the face is, held still: a crop that jitters would look like motion to an encoder.

Faces are looked for twice a second on a small picture with OpenCV's Haar cascades; one box serves a whole window of
about two seconds, and the box of the window before stays as long as the face is still well inside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import cv2.data
import numpy as np

from iamsb_core.media.video import Pixels

_COARSE_SIDE, _FINE_SIDE = 256, 960
_CROP_PER_FACE = 1.6
_MAX_SHIFT = 0.25
_MAX_GROWTH = 1.3
_HELD_WINDOWS = 2


class Square(NamedTuple):
    """A square region of an upright picture, in pixels."""

    centre_x: float
    centre_y: float
    side: float

    def overlap(self, other: Square) -> float:
        """Intersection over union of the two regions."""
        width = (self.side + other.side) / 2 - abs(self.centre_x - other.centre_x)
        height = (self.side + other.side) / 2 - abs(self.centre_y - other.centre_y)
        shared = max(0.0, min(width, self.side, other.side)) * max(0.0, min(height, self.side, other.side))
        return shared / (self.side**2 + other.side**2 - shared)

    def still_fits(self, other: Square) -> bool:
        """Whether a face at `other` is near enough to this one to keep a crop drawn around this one."""
        shift = max(abs(self.centre_x - other.centre_x), abs(self.centre_y - other.centre_y)) / self.side
        return shift <= _MAX_SHIFT and 1 / _MAX_GROWTH <= other.side / self.side <= _MAX_GROWTH


class SteadyFace:
    """Follows the main face of a video from window to window."""

    def __init__(self) -> None:
        self._face: Square | None = None
        self._windows_unseen = 0
        self.num_faces = 0
        """the most faces seen at once, in half of a window's looks or more; windows that only confirm do not count"""

    def follow(self, looks: Sequence[Pixels]) -> tuple[Square | None, bool]:
        """The crop for the window that these pictures come from, and whether it stands on a face seen lately.

        The crop is None until a first face is seen; a face lost later keeps its crop, which counts as standing on a
        face for two more windows.
        """
        seen = self._face if self._is_confirmed(looks) else self._choose([find_faces(picture) for picture in looks])
        if seen is None and looks:
            seen = self._choose([find_small_faces(looks[len(looks) // 2])])
        self._windows_unseen = 0 if seen is not None else self._windows_unseen + 1
        if seen is not None and (self._face is None or not self._face.still_fits(seen)):
            self._face = seen
        if self._face is None:
            return None, False
        crop = self._face._replace(side=self._face.side * _CROP_PER_FACE)
        return crop, self._windows_unseen <= _HELD_WINDOWS

    def _is_confirmed(self, looks: Sequence[Pixels]) -> bool:
        """Whether every other look, searched only for faces of about this size, shows the face where it was."""
        if self._face is None or not looks:
            return False
        face = self._face
        return all(any(face.still_fits(other) for other in find_faces(picture, like=face)) for picture in looks[::2])

    def _choose(self, looks: list[list[Square]]) -> Square | None:
        """The face seen in most looks; the one followed so far is preferred, then the larger one."""
        self.num_faces = max(self.num_faces, int(np.median([len(look) for look in looks] or [0])))
        faces = [face for look in looks for face in look]
        if not faces:
            return None

        def merit(face: Square) -> tuple[float, float]:
            sightings = sum(any(face.overlap(other) > 0.3 for other in look) for look in looks)
            followed = self._face is not None and self._face.overlap(face) > 0.1
            return sightings * (2.0 if followed else 1.0), face.side

        best = max(faces, key=merit)
        same = np.median([face for face in faces if face.overlap(best) > 0.3], axis=0)
        return Square(*(float(value) for value in same))


def find_faces(picture: Pixels, *, like: Square | None = None) -> list[Square]:
    """Faces of a tenth of the picture or larger; only those of about the size of `like`, which is quicker.

    The picture is (height, width, 3) RGB.
    """
    return _detect(picture, "alt2", side=_COARSE_SIDE, neighbours=4, like=like)


def find_small_faces(picture: Pixels) -> list[Square]:
    """Faces down to a fortieth of the picture; ten times slower than `find_faces`."""
    return _detect(picture, "default", side=_FINE_SIDE, neighbours=6)


def _detect(picture: Pixels, cascade: str, *, side: int, neighbours: int, like: Square | None = None) -> list[Square]:
    height, width = picture.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if min(size) < 24:
        return []
    grey = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    least, most = 24, min(size)
    if like is not None:
        least, most = max(least, int(like.side * scale / 1.5)), min(most, int(like.side * scale * 1.5) + 1)
    found = _cascade(cascade).detectMultiScale(grey, 1.15, neighbours, minSize=(least, least), maxSize=(most, most))
    return [Square((x + w / 2) / scale, (y + h / 2) / scale, w / scale) for x, y, w, h in found]


@cache
def _cascade(name: str) -> cv2.CascadeClassifier:
    cv2.setNumThreads(1)
    file = Path(cv2.data.haarcascades) / f"haarcascade_frontalface_{name}.xml"
    cascade = cv2.CascadeClassifier(str(file))
    if cascade.empty():
        raise RuntimeError(f"{file} is missing; install opencv-python-headless below version 5")
    return cascade
