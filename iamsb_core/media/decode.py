"""One video decoded into open files, a window at a time: the work of the decoding process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodeError, FrameView
from iamsb_core.media.container import Damage
from iamsb_core.media.crop import ViewedCells, view_cells
from iamsb_core.media.limits import MAX_PIXELS, MediaLimits, check_space
from iamsb_core.media.pieces import CellSink, PieceSize
from iamsb_core.media.probe import Scan
from iamsb_core.media.sampling import on_screen
from iamsb_core.media.video import Picture, ReaderDisagreesError, decord_pictures, pyav_pictures
from iamsb_core.timeline import TimeGrid

_FEW_FACES = 0.5
_SLOW_SHARE = 0.8


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to decode of a clip, and how."""

    view: FrameView | None
    audio: bool
    decord: bool = True
    """whether decord may be tried"""
    num_threads: int = 1
    max_pixels: int = MAX_PIXELS
    pieces: PieceSize | None = None
    """how a clip that is longer than a piece is cut; None: every clip stays whole"""


@dataclass(frozen=True)
class ClipFiles:
    """Where a clip's arrays are written: raw numbers in C order, without headers."""

    waveform: BinaryIO
    frames: BinaryIO
    boxes: BinaryIO
    face_found: BinaryIO


@dataclass
class Outcome:
    """What was written, and what there is to say about it."""

    reader: str = "none"
    has_waveform: bool = False
    has_frames: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass
class Seen:
    """Cells of a picture."""

    num_cells: int = 0
    num_with_face: int = 0
    num_faces: int = 0
    """the most faces seen at once"""


class WholeFiles:
    """Writes all cells of a clip into the same files."""

    def __init__(self, files: ClipFiles) -> None:
        self._files = (files.frames, files.boxes, files.face_found)

    def restart(self) -> None:
        for file in self._files:
            file.seek(0)
            file.truncate()

    def write(self, cells: ViewedCells) -> None:
        frames, boxes, face_found = self._files
        frames.write(cells.frames.data)
        boxes.write(cells.boxes.data)
        face_found.write(cells.face_found.data)

    def finish(self) -> None:
        pass


def check_limits(path: Path, scan: Scan, limits: MediaLimits, *, in_pieces: bool = False) -> None:
    """Raises DecodeError `too-long`."""
    duration = scan.probe.duration_seconds
    most = limits.max_duration_in_pieces_seconds if in_pieces else limits.max_duration_seconds
    if duration > most:
        message = f"{path} lasts {duration:.0f} s, above the limit of {most:.0f} s; cut it"
        raise DecodeError(message, kind="too-long")


def decode_clip(
    path: Path, scan: Scan, wanted: Wanted, files: ClipFiles, pieces: Callable[[PieceSize, int], CellSink] | None = None
) -> Outcome:
    """Write what is wanted of a clip. A stream that fails is a warning while another is left.

    pieces: makes what takes the cells of a clip of so many that is longer than a piece.
    Raises DecodeError `damaged` where nothing that is wanted can be decoded, and `disk-full`.
    """
    outcome = Outcome(warnings=list(scan.warnings))
    parts: list[Callable[[], Outcome]] = []
    if wanted.view is not None and scan.video is not None:
        parts.append(partial(_write_frames, path, scan, wanted, files, pieces))
    if wanted.audio and scan.audio is not None:
        parts.append(partial(_write_waveform, path, scan, files))
    failures: list[DecodeError] = []
    for write in parts:
        try:
            _merge(outcome, write())
        except DecodeError as error:
            if error.kind != "damaged":
                raise
            failures.append(error)
            outcome.warnings.append(str(error))
    if failures and not outcome.has_frames and not outcome.has_waveform:
        raise failures[0]
    return outcome


def frame_grid(duration_seconds: float, view: FrameView) -> TimeGrid:
    """The grid that a clip's frames stand on."""
    return TimeGrid.covering(duration_seconds, 1 / view.rate_hz)


def _merge(outcome: Outcome, part: Outcome) -> None:
    outcome.has_frames |= part.has_frames
    outcome.has_waveform |= part.has_waveform
    outcome.warnings += part.warnings
    outcome.reader = part.reader if part.has_frames else outcome.reader


def _write_frames(
    path: Path,
    scan: Scan,
    wanted: Wanted,
    files: ClipFiles,
    pieces: Callable[[PieceSize, int], CellSink] | None,
) -> Outcome:
    view = wanted.view
    assert view is not None
    grid, damage, cut = frame_grid(scan.probe.duration_seconds, view), Damage(), wanted.pieces
    if cut is not None and pieces is not None and grid.num_cells > cut.keep + cut.context:
        sink = pieces(cut, grid.num_cells)
        names: tuple[str, ...] = ("pyav",)  # what decord shows is void until its end, and a piece is used before
    else:
        check_space(files.frames, grid.num_cells * view.size_pixels**2 * 3)
        sink = WholeFiles(files)
        names = ("decord", "pyav") if wanted.decord else ("pyav",)
    readers: dict[str, Callable[[], Iterator[Picture]]] = {
        "decord": lambda: decord_pictures(path, scan, num_threads=wanted.num_threads),
        "pyav": lambda: pyav_pictures(path, damage, num_threads=wanted.num_threads, max_pixels=wanted.max_pixels),
    }
    for name in names:
        try:
            seen = _write_cells(readers[name](), scan, grid, view, sink)
        except ReaderDisagreesError:
            continue
        if seen.num_cells == grid.num_cells:
            warnings = _picture_warnings(scan, view, damage, seen)
            return Outcome(reader=name, has_frames=True, warnings=warnings)
    raise DecodeError(f"no picture could be decoded from {path}; export it again", kind="damaged")


def _write_cells(pictures: Iterator[Picture], scan: Scan, grid: TimeGrid, view: FrameView, sink: CellSink) -> Seen:
    """What was written."""
    sink.restart()
    seen = Seen()
    for cells in view_cells(on_screen(pictures, grid.centres() + scan.origin_seconds), view):
        sink.write(cells)
        seen.num_cells += len(cells.frames)
        seen.num_with_face += int(cells.face_found.sum())
        seen.num_faces = cells.num_faces
    sink.finish()
    return seen


def _write_waveform(path: Path, scan: Scan, files: ClipFiles) -> Outcome:
    from iamsb_core.media.audio import Sound  # noqa: PLC0415  (torch takes a second to import; pictures need none)

    num_samples = round(scan.probe.duration_seconds * SAMPLE_RATE_HZ)
    check_space(files.waveform, num_samples * 4)
    sound = Sound(path, origin_seconds=scan.origin_seconds, num_samples=num_samples)
    for piece in sound.pieces():
        files.waveform.write(np.ascontiguousarray(piece).data)
    return Outcome(has_waveform=True, warnings=sound.warnings())


def _picture_warnings(scan: Scan, view: FrameView, damage: Damage, seen: Seen) -> list[str]:
    warnings, face_share = [], seen.num_with_face / seen.num_cells
    if damage.num_packets:
        warnings.append(f"{damage.num_packets} packets of the picture are damaged and were left out")
    if view.crop == "face" and face_share < _FEW_FACES:
        warnings.append(f"no face was found for {1 - face_share:.0%} of the time")
    if seen.num_faces > 1:
        warnings.append(f"{seen.num_faces} faces are seen at once; one of them was examined")
    if scan.probe.average_fps < _SLOW_SHARE * view.rate_hz:
        rates = f"{scan.probe.average_fps:.1f} pictures a second, fewer than the {view.rate_hz:g} looked at"
        warnings.append(f"the video has {rates}; pictures are repeated")
    return warnings
