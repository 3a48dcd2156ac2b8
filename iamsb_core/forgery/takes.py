"""A clip as one or more takes of the same person, one after the other, read where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iamsb_core.forgery.config import SAMPLES_PER_FRAME
from iamsb_core.forgery.recording import Recording

_JOINT_FADE_SAMPLES = 480
"""30 ms: the sound of a take falls to nothing before a joint and rises from nothing after it"""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a recording, in frames."""

    source: str
    """key of the recording"""
    first_frame: int
    num_frames: int


@dataclass(frozen=True, slots=True)
class SourceLength:
    """What planning has to know of a recording."""

    key: str
    person: str
    num_frames: int
    name: str = ""


def join_takes(
    first: SourceLength, takes: Sequence[SourceLength], num_frames: int, shortest: int, rng: np.random.Generator
) -> tuple[Piece, ...]:
    """Pieces of one person's takes, none under `shortest` frames, that last num_frames together or a little less.

    The first piece is of `first`; the others follow in an order of chance, again and again, each time another stretch.
    """
    pieces: list[Piece] = []
    left = num_frames
    others = [take for take in takes if take.key != first.key]
    waiting = [first, *(others[i] for i in rng.permutation(len(others)))]
    while left >= shortest or not pieces:
        take = waiting.pop(0)
        waiting.append(take)
        length = min(take.num_frames, left)
        if 0 < left - length < shortest and left - shortest >= shortest:
            length = min(length, left - shortest)  # leave enough for one more
        pieces.append(Piece(take.key, int(rng.integers(take.num_frames - length + 1)), length))
        left -= length
    return tuple(pieces)


@dataclass(frozen=True)
class Take:
    """A piece with the recording that it is read from."""

    recording: Recording
    first_frame: int
    num_frames: int

    @property
    def frames(self) -> NDArray[np.uint8]:
        """(num_frames, 224, 224, 3), not read before it is looked at."""
        return self.recording.frames[self.first_frame : self.first_frame + self.num_frames]

    @property
    def waveform(self) -> NDArray[np.float32]:
        first, last = self.first_frame * SAMPLES_PER_FRAME, (self.first_frame + self.num_frames) * SAMPLES_PER_FRAME
        return self.recording.waveform[first:last]

    @property
    def voiced(self) -> NDArray[np.bool_]:
        return self.recording.voiced[self.first_frame : self.first_frame + self.num_frames]


@dataclass(frozen=True)
class Genuine:
    """A clip before forging: takes that are joined."""

    takes: tuple[Take, ...]

    @property
    def num_frames(self) -> int:
        return sum(take.num_frames for take in self.takes)

    @property
    def joints(self) -> tuple[int, ...]:
        """The frames at which a new take begins, the clip's first one left out."""
        return tuple(np.cumsum([take.num_frames for take in self.takes])[:-1].tolist())

    @property
    def voiced(self) -> NDArray[np.bool_]:
        return np.concatenate([take.voiced for take in self.takes])

    def waveform(self) -> NDArray[np.float32]:
        """(num_frames * 640,): faded to nothing over 30 ms at either side of a joint, so that none clicks."""
        joined = np.concatenate([take.waveform for take in self.takes])
        ramp = (0.5 + 0.5 * np.cos(np.pi * (np.arange(_JOINT_FADE_SAMPLES) + 0.5) / _JOINT_FADE_SAMPLES)).astype("f4")
        for joint in self.joints:
            at = joint * SAMPLES_PER_FRAME
            joined[at - len(ramp) : at] *= ramp
            joined[at : at + len(ramp)] *= ramp[::-1]
        return joined

    def at(self, frame: int) -> tuple[Take, int]:
        """The take that shows this frame of the clip, and where in the clip the take begins."""
        begins = 0
        for take in self.takes:
            if frame < begins + take.num_frames:
                return take, begins
            begins += take.num_frames
        raise IndexError(f"frame {frame} of {begins}")

    def frames(self, first: int, stop: int) -> NDArray[np.uint8]:
        """Frames [first, stop) of the clip, which must lie in one take."""
        take, begins = self.at(first)
        return np.asarray(take.frames[first - begins : stop - begins])


@dataclass(frozen=True)
class Pictures:
    """The frames of a forged clip, one at a time: only the forged ones are kept in memory."""

    genuine: Genuine
    forged: tuple[tuple[int, NDArray[np.uint8]], ...]
    """where each forged stretch begins in the clip, and its frames; in order, none touching another"""

    def __len__(self) -> int:
        return self.genuine.num_frames

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        instead = {first + k: frame for first, frames in self.forged for k, frame in enumerate(frames)}
        number = 0
        for take in self.genuine.takes:
            for frame in take.frames:
                yield instead.get(number, frame)
                number += 1

    def array(self) -> NDArray[np.uint8]:
        """(num_frames, 224, 224, 3), all in memory: for short clips."""
        return np.stack(list(self))
