"""Localising what is still being written: windows as the media grows, segments as they settle.

Two ways. `PromptWatcher` looks again every `STEP_SECONDS` at the window that ends where the media now ends, as a clip's
last window would be looked at, and settles what lies a short look-ahead behind its end. `OfflineWatcher` looks at the
windows that the finished clip will have, and settles what no window to come can change: later, but the same segments
as those of the finished clip, where the encoders themselves do not look further than a window and its surroundings.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iamsb_core.data.dataset import Item
from iamsb_core.encoders.base import EncodedTrack
from iamsb_core.encoders.growing import GrowingTrack, growing_track
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.localization.settling import SettledPromptly
from iamsb_core.localization.settling_windows import SettledInWindows
from iamsb_core.localization.windows import plan_windows
from iamsb_core.localizer import Localizer
from iamsb_core.manifest import STREAMS, Modality
from iamsb_core.media.clip import SAMPLE_RATE_HZ, FrameView
from iamsb_core.media.crop import CROP_WINDOW_SECONDS
from iamsb_core.media.live import LivePiece
from iamsb_core.report.proposals import calibrated, cleaned, thinned
from iamsb_core.timeline import Segment, TimeGrid
from iamsb_core.training.predict import OVERLAP_SHARE, localize_items

LANES: dict[str, Modality | None] = {"audio": Modality.AUDIO, "visual": Modality.VISUAL, "fused": None}


@dataclass(frozen=True, kw_only=True)
class SettledSegment:
    """A segment that will not change any more."""

    stream: str
    """`audio`, `visual` or `fused`"""
    start_seconds: float
    end_seconds: float
    score: float
    calibrated_score: float | None
    delay_seconds: float
    """from the arrival of the media at the segment's end to now"""


STEP_SECONDS = 0.6
"""of a prompt watcher, fifteen pictures: from one window's end to the next, and what shares a crop"""
LAG_SECONDS = 0.2
"""windows end so long before a piece of pictures does: cells are measured with a few that follow them"""
LEAST_DELAY_SECONDS = 2.0
_OVERHEAD_SECONDS = 1.6
"""of a prompt delay: pictures wait for their crop, windows for their step, and both for the processor"""


class Watcher(ABC):
    """Takes pieces of a growing clip and gives back what settled. Memory is bounded, however long the clip."""

    crop_seconds: float
    """what share a crop, and so come in one piece"""

    def __init__(self, localizer: Localizer) -> None:
        self._localizer, self._card = localizer, localizer.model.card
        self._hop_seconds = self._card.streams.visual.hop_seconds
        self._tracks: dict[Modality, GrowingTrack] = {}
        self._is_begun = False
        self._num_samples = 0
        self._arrivals: list[tuple[float, float]] = []
        self.behind_seconds = 0.0
        """as the last piece said"""

    @property
    def view(self) -> FrameView:
        """The pictures that the model wants."""
        return self._card.visual_encoder.view or FrameView()

    @property
    def ready_seconds(self) -> float:
        """How far all streams are encoded."""
        return min((track.ready_seconds for track in self._tracks.values()), default=0.0)

    @property
    def num_kept(self) -> int:
        """Cells held in memory."""
        return sum(track.num_kept for track in self._tracks.values())

    def push(self, piece: LivePiece) -> Iterator[SettledSegment]:
        """What settles with a piece, lane by lane."""
        if not self._is_begun:
            present = {Modality.AUDIO: piece.has_audio, Modality.VISUAL: piece.has_video}
            self._tracks = {m: growing_track(self._localizer.encoders[m]) for m in STREAMS if present[m]}
            self._is_begun = True
        self._arrivals += piece.arrivals
        self.behind_seconds = piece.behind_seconds
        self._num_samples += len(piece.samples)
        for modality, raw in ((Modality.AUDIO, piece.samples), (Modality.VISUAL, piece.frames)):
            if modality in self._tracks:
                self._tracks[modality].push(raw)
        yield from self._advance()

    def finish(self, duration_seconds: float) -> Iterator[SettledSegment]:
        """What is left once the clip ended."""
        if not self._tracks or duration_seconds <= 0.0:
            return
        audio = self._tracks.get(Modality.AUDIO)
        if audio is not None:
            missing = round(duration_seconds * SAMPLE_RATE_HZ) - self._num_samples
            audio.push(np.zeros(max(0, missing), np.float32))
        for track in self._tracks.values():
            track.finish(TimeGrid.covering(duration_seconds, track.hop_seconds).num_cells)
        yield from self._end(duration_seconds)

    @abstractmethod
    def _advance(self) -> Iterator[SettledSegment]:
        """Look at the windows that are complete by now."""

    @abstractmethod
    def _end(self, duration_seconds: float) -> Iterator[SettledSegment]:
        """Look at the last windows."""

    def _last_start(self, end_seconds: float) -> float:
        """Where the last window of a clip that ends there begins: whole cells of the slower stream."""
        cells = math.ceil((end_seconds - self._card.window_seconds) / self._hop_seconds - 1e-6)
        return max(0, cells) * self._hop_seconds

    def _localized(self, window: Segment) -> ClipProposals:
        tracks: dict[Modality, EncodedTrack | None] = dict.fromkeys(STREAMS)
        for modality, track in self._tracks.items():
            cells = TimeGrid(track.hop_seconds, track.num_cells).cells(window)
            tracks[modality] = track.track(cells) if cells.stop > cells.start else None
        truth = {modality: np.zeros((0, 2)) for modality in STREAMS}
        item = Item("live", window.duration_seconds, tracks, truth)
        system, device = self._localizer.model.system, self._localizer.device
        (found,) = localize_items(system, [item], self._card.streams, math.inf, device)
        return found

    def _said(self, lane: str, rows: NDArray[np.float64]) -> Iterator[SettledSegment]:
        calibration, now = self._card.calibration, time.monotonic()
        score_map = None if calibration is None else calibration.lane(lane).score_map
        for start, end, score in rows.tolist():
            arrived = next((at for seconds, at in self._arrivals if seconds >= end), now)
            yield SettledSegment(
                stream=lane,
                start_seconds=round(start, 4),
                end_seconds=round(end, 4),
                score=score,
                calibrated_score=calibrated(score_map, score),
                delay_seconds=max(0.0, now - arrived),
            )

    def _forget(self, before_seconds: float) -> None:
        """No later window begins before this."""
        for track in self._tracks.values():
            track.forget(math.floor((before_seconds - track.surroundings_seconds) / track.hop_seconds) - 1)
        self._arrivals = [each for each in self._arrivals if each[0] >= before_seconds]


class PromptWatcher(Watcher):
    """Settles a segment within a delay of its end, on a machine that keeps up."""

    crop_seconds = STEP_SECONDS

    def __init__(self, localizer: Localizer, *, delay_seconds: float) -> None:
        """Raises ValueError for a delay that cannot be held."""
        super().__init__(localizer)
        if not delay_seconds >= LEAST_DELAY_SECONDS:
            raise ValueError(
                f"segments cannot settle within {delay_seconds:g} s; allow {LEAST_DELAY_SECONDS:g} s or more"
            )
        overlap, look_ahead = localizer.thresholds.max_overlap, delay_seconds - _OVERHEAD_SECONDS
        self._lanes = {lane: SettledPromptly(look_ahead_seconds=look_ahead, max_overlap=overlap) for lane in LANES}
        self._num_windows = 0

    def _advance(self) -> Iterator[SettledSegment]:
        while self.ready_seconds >= (end := (self._num_windows + 1) * STEP_SECONDS - LAG_SECONDS):
            self._num_windows += 1
            yield from self._look(end)
            self._forget(self._last_start(end + STEP_SECONDS))

    def _end(self, duration_seconds: float) -> Iterator[SettledSegment]:
        yield from self._look(duration_seconds, is_end=True)

    def _look(self, end_seconds: float, *, is_end: bool = False) -> Iterator[SettledSegment]:
        window = Segment(self._last_start(end_seconds), end_seconds)
        found, begin = self._localized(window), self._last_start(end_seconds + STEP_SECONDS)
        for lane, modality in LANES.items():
            rows = thinned(cleaned(found.of(modality), window.duration_seconds), self._localizer.thresholds)
            rows += np.array([window.start, window.start, 0.0])
            settled = self._lanes[lane].settle(rows, end_seconds, begin_seconds=begin, is_end=is_end)
            yield from self._said(lane, settled)


class OfflineWatcher(Watcher):
    """Settles what the finished clip's own windows say, as soon as it is certain."""

    crop_seconds = CROP_WINDOW_SECONDS

    def __init__(self, localizer: Localizer) -> None:
        super().__init__(localizer)
        shown = localizer.thresholds
        self._lanes = {lane: SettledInWindows(display=shown.display, max_overlap=shown.max_overlap) for lane in LANES}
        self._overlap_seconds = OVERLAP_SHARE * self._card.window_seconds
        self._num_done = 0

    @property
    def _step_seconds(self) -> float:
        """Between the starts of two windows, as `plan_windows` lays them."""
        step = self._card.window_seconds - self._overlap_seconds
        return math.floor(step / self._hop_seconds + 1e-9) * self._hop_seconds

    def _advance(self) -> Iterator[SettledSegment]:
        around = max((track.surroundings_seconds for track in self._tracks.values()), default=0.0)
        beyond = around + self._hop_seconds  # what goes on beyond it is not the last window
        while self.ready_seconds >= (start := self._start(self._num_done)) + self._card.window_seconds + beyond:
            self._look(Segment(start, start + self._card.window_seconds))
        if self._num_done:
            earliest = self._last_start(self.ready_seconds) - self._hop_seconds
            latest = self._start(self._num_done)
            earliest = min(max(earliest, self._start(self._num_done - 1) + self._hop_seconds), latest)
            yield from self._settled((earliest, latest))
            self._forget(earliest)

    def _end(self, duration_seconds: float) -> Iterator[SettledSegment]:
        card, hop = self._card, self._hop_seconds
        windows = plan_windows(duration_seconds, card.window_seconds, self._overlap_seconds, align_seconds=hop)
        for window in windows[self._num_done :]:
            self._look(window, is_end=window is windows[-1])
        yield from self._settled((math.inf, math.inf))

    def _start(self, number: int) -> float:
        return number * round(self._step_seconds / self._hop_seconds) * self._hop_seconds

    def _look(self, window: Segment, *, is_end: bool = False) -> None:
        found = self._localized(window)
        for lane, modality in LANES.items():
            self._lanes[lane].add(window, found.of(modality), is_end=is_end)
        self._num_done += 1

    def _settled(self, next_start: tuple[float, float]) -> Iterator[SettledSegment]:
        for lane, settling in self._lanes.items():
            yield from self._said(lane, settling.settle(next_start))
