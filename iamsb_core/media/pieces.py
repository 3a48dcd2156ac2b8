"""Long clips a piece at a time: the pictures of an hour fill 13.5 GB at 224 pixels, those of a piece 2.3 GB.

The decoding process writes a piece into files of its own, hands them over and waits until they were used. Pieces
overlap by some context on either side, which features at their edges need.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from iamsb_core.media.clip import DecodedClip
from iamsb_core.media.crop import ViewedCells
from iamsb_core.media.limits import check_space
from iamsb_core.timeline import TimeGrid


@dataclass(frozen=True, kw_only=True)
class PieceSize:
    """How a clip's cells are cut. A clip of no more than keep + context cells stays whole."""

    keep: int
    """cells that a piece is there for, at least; the last piece may have fewer"""
    context: int
    """cells before and after them"""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Where a piece lies among a clip's cells."""

    first: int
    """the first cell in the files"""
    keep_first: int
    keep_last: int
    """one beyond the last cell that the piece is there for"""
    last: int
    """one beyond the last cell in the files"""
    num_cells: int
    """of the whole clip"""


@dataclass(frozen=True)
class ClipPiece:
    """The pictures of a stretch of a clip, with some before and after."""

    clip: DecodedClip
    """without sound; it begins at cell `place.first` of the whole"""
    place: Piece

    @property
    def inside(self) -> slice:
        """The cells that the piece is there for, among its own."""
        return slice(self.place.keep_first - self.place.first, self.place.keep_last - self.place.first)


class CellSink(Protocol):
    """Takes a clip's cells in order."""

    def restart(self) -> None:
        """Forget what was written: another reader begins anew."""

    def write(self, cells: ViewedCells) -> None: ...

    def finish(self) -> None:
        """All cells were written."""


HandOver = Callable[[Piece, tuple[BinaryIO, BinaryIO, BinaryIO]], None]
"""Gives files of frames, boxes and faces away and comes back when they were used."""


class PieceFiles:
    """Writes pieces and hands each over as soon as its context is there too."""

    def __init__(self, size: PieceSize, num_cells: int, workdir: str | None, hand_over: HandOver) -> None:
        self._size, self._num_cells, self._workdir, self._hand_over = size, num_cells, workdir, hand_over
        self._kept: deque[ViewedCells] = deque()
        self._first = self._keep_first = self._last = 0
        self._files: tuple[BinaryIO, BinaryIO, BinaryIO] | None = None

    def restart(self) -> None:
        self._close()
        self._kept.clear()
        self._first = self._keep_first = self._last = 0

    def write(self, cells: ViewedCells) -> None:
        self._put(cells)
        self._last += len(cells.frames)
        self._kept.append(cells)
        context = self._size.context
        while sum(len(run.frames) for run in self._kept) - len(self._kept[0].frames) >= 2 * context:
            self._kept.popleft()
        if self._last - context - self._keep_first >= self._size.keep:
            self._give(self._last - context)
            self._begin_next()

    def finish(self) -> None:
        if self._keep_first < self._last:
            self._give(self._last)
        self._close()

    def _put(self, cells: ViewedCells) -> None:
        if self._files is None:
            opened = [tempfile.TemporaryFile(dir=self._workdir) for _ in range(3)]  # noqa: SIM115 - _close closes them
            self._files = (opened[0], opened[1], opened[2])
            most = self._size.keep + 3 * self._size.context
            check_space(self._files[0], most * cells.frames[0].nbytes)
        for file, values in zip(self._files, (cells.frames, cells.boxes, cells.face_found), strict=True):
            file.write(np.ascontiguousarray(values).data)

    def _give(self, keep_last: int) -> None:
        assert self._files is not None
        for file in self._files:
            file.flush()
            file.seek(0)
        place = Piece(
            first=self._first,
            keep_first=self._keep_first,
            keep_last=keep_last,
            last=self._last,
            num_cells=self._num_cells,
        )
        self._hand_over(place, self._files)
        self._keep_first = keep_last

    def _begin_next(self) -> None:
        """Open the next piece with the context that its first cells need."""
        self._close()
        runs, self._first = list(self._kept), self._last - sum(len(run.frames) for run in self._kept)
        for run in runs:
            self._put(run)

    def _close(self) -> None:
        for file in self._files or ():
            file.close()
        self._files = None


class FrameSamples:
    """Some pictures of a clip that is read a piece at a time, evenly spread over it, for those who show it."""

    def __init__(self, most: int = 512) -> None:
        self._most = most
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.num_taken = 0
        self._hop_seconds, self._step = 0.0, 1
        self._frames: list[NDArray[np.uint8]] = []
        self._boxes: list[NDArray[np.float32]] = []
        self._faces: list[NDArray[np.bool_]] = []

    def take(self, piece: ClipPiece) -> None:
        """Copy every so manyth cell of a piece, the middle ones of the coarser grid's cells."""
        place, clip = piece.place, piece.clip
        assert clip.frames is not None
        assert clip.frame_boxes is not None
        assert clip.face_found is not None
        assert clip.frame_grid is not None
        if place.keep_first == 0:
            self.forget()
        self._step = -(-place.num_cells // self._most)
        self._hop_seconds = clip.frame_grid.hop_seconds
        wanted = np.arange(self._step // 2, place.num_cells, self._step)
        here = wanted[(wanted >= place.keep_first) & (wanted < place.keep_last)] - place.first
        self._frames.append(clip.frames[here])
        self._boxes.append(clip.frame_boxes[here])
        self._faces.append(clip.face_found[here])
        self.num_taken += len(here)

    def arrays(self) -> dict[str, Any]:
        """The fields of DecodedClip."""
        return {
            "frames": np.concatenate(self._frames),
            "frame_boxes": np.concatenate(self._boxes),
            "face_found": np.concatenate(self._faces),
            "frame_grid": TimeGrid(self._hop_seconds * self._step, self.num_taken),
        }
